//! Binary modules by hand, where text would be too large or could not say it.

/// A module under construction: sections in the order they are added.
#[derive(Clone)]
pub(crate) struct Wasm(Vec<u8>);

/// Section numbers.
pub(crate) mod id {
    pub(crate) const TYPE: u8 = 1;
    pub(crate) const IMPORT: u8 = 2;
    pub(crate) const FUNCTION: u8 = 3;
    pub(crate) const TABLE: u8 = 4;
    pub(crate) const MEMORY: u8 = 5;
    pub(crate) const GLOBAL: u8 = 6;
    pub(crate) const EXPORT: u8 = 7;
    pub(crate) const ELEMENT: u8 = 9;
    pub(crate) const CODE: u8 = 10;
    pub(crate) const DATA: u8 = 11;
}

/// Operators and types, by their byte.
pub(crate) mod op {
    pub(crate) const BLOCK: u8 = 0x02;
    pub(crate) const LOOP: u8 = 0x03;
    pub(crate) const IF: u8 = 0x04;
    pub(crate) const END: u8 = 0x0b;
    pub(crate) const BR_IF: u8 = 0x0d;
    pub(crate) const BR_TABLE: u8 = 0x0e;
    pub(crate) const CALL: u8 = 0x10;
    pub(crate) const DROP: u8 = 0x1a;
    pub(crate) const LOCAL_GET: u8 = 0x20;
    pub(crate) const LOCAL_SET: u8 = 0x21;
    pub(crate) const I32_CONST: u8 = 0x41;
    pub(crate) const I32_ADD: u8 = 0x6a;
    pub(crate) const EMPTY: u8 = 0x40;
    pub(crate) const I32: u8 = 0x7f;
    pub(crate) const I64: u8 = 0x7e;
    pub(crate) const FUNCREF: u8 = 0x70;
}

impl Wasm {
    /// An empty module.
    pub(crate) fn new() -> Wasm {
        Wasm(b"\0asm\x01\0\0\0".to_vec())
    }

    /// Adds a section of so many items.
    pub(crate) fn section(mut self, id: u8, count: u64, items: &[u8]) -> Wasm {
        let count = leb(count);
        self.0.push(id);
        self.0.extend(leb((count.len() + items.len()) as u64));
        self.0.extend(count);
        self.0.extend_from_slice(items);
        self
    }

    /// Adds a section of the same item many times.
    pub(crate) fn repeated(self, id: u8, count: u64, item: &[u8]) -> Wasm {
        self.section(id, count, &item.repeat(count as usize))
    }

    /// Adds types `[i32 * params] -> [i32 * results]`.
    pub(crate) fn types(self, types: &[(usize, usize)]) -> Wasm {
        let items: Vec<u8> = types.iter().flat_map(|(params, results)| func_type(*params, *results)).collect();
        self.section(id::TYPE, types.len() as u64, &items)
    }

    /// Adds one function of type 0 with these operators and so many `i32` locals.
    pub(crate) fn function(self, locals: u64, operators: &[u8]) -> Wasm {
        self.section(id::FUNCTION, 1, &[0]).section(id::CODE, 1, &body(locals, operators))
    }

    /// The binary.
    pub(crate) fn bytes(self) -> Vec<u8> {
        self.0
    }
}

/// A function type.
pub(crate) fn func_type(params: usize, results: usize) -> Vec<u8> {
    let list = |count: usize| [leb(count as u64), vec![op::I32; count]].concat();
    [vec![0x60], list(params), list(results)].concat()
}

/// A function's body, with its length before it and its end behind it.
pub(crate) fn body(locals: u64, operators: &[u8]) -> Vec<u8> {
    let locals = [leb(1), leb(locals), vec![op::I32]].concat();
    let bytes = [locals.as_slice(), operators, &[op::END]].concat();
    [leb(bytes.len() as u64), bytes].concat()
}

/// An operator with an index.
pub(crate) fn with_index(op: u8, index: u64) -> Vec<u8> {
    [vec![op], leb(index)].concat()
}

/// A name.
pub(crate) fn name(text: &str) -> Vec<u8> {
    [leb(text.len() as u64), text.as_bytes().to_vec()].concat()
}

/// An unsigned number.
pub(crate) fn leb(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}
