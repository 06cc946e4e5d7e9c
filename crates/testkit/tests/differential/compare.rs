//! Runs one module on both engines, and says where they part.

use std::ops::RangeInclusive;

use selvedge_runtime::Recycling;
use selvedge_testkit::{layout_name, layouts};

use super::generate::Random;
use super::ours::{OurModule, Ours};
use super::peer::{Peer, PeerModule};
use super::value::{Ending, Type, Value, all_same, same, same_ending};

/// What arguments a round of calls passes.
#[derive(Clone, Copy, Debug)]
enum Arguments {
    Zeros,
    Ones,
    Extremes,
    Random,
}

const ROUNDS: [Arguments; 4] = [Arguments::Zeros, Arguments::Ones, Arguments::Extremes, Arguments::Random];

/// How much was compared.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Compared {
    /// Calls.
    pub(crate) calls: u64,
    /// Calls that returned, on both engines.
    pub(crate) returned: u64,
    /// Rounds that the stack's end cut short.
    pub(crate) cut_short: u64,
    /// Modules left out because the peer errs on them.
    pub(crate) left_out: u64,
}

impl Compared {
    /// Adds another module's.
    pub(crate) fn add(&mut self, other: Compared) {
        self.calls += other.calls;
        self.returned += other.returned;
        self.cut_short += other.cut_short;
        self.left_out += other.left_out;
    }
}

/// Whether a module may hold what wasmi 2.0.0 gets wrong, told from its bytes.
///
/// `select a b (i32.eqz c)`, and the same with `i32.eq` or `i32.ne` and 0, chooses regardless of `c`: wasmi fuses
/// the two operators. A module in which one directly follows the other is no test of us.
pub(crate) fn wasmi_errs(wasm: &[u8]) -> bool {
    const COMPARISONS: RangeInclusive<u8> = 0x45..=0x47;
    const SELECTS: RangeInclusive<u8> = 0x1b..=0x1c;
    wasm.windows(2).any(|pair| COMPARISONS.contains(&pair[0]) && SELECTS.contains(&pair[1]))
}

/// In new stores, or in one slot that is recycled: so often that its pages are marked in the end.
const HOMES: [(Option<Recycling>, usize); 4] = [
    (None, ROUNDS.len()),
    (Some(Recycling::Track), 4 * ROUNDS.len()),
    (Some(Recycling::Scan), ROUNDS.len()),
    (Some(Recycling::Discard), ROUNDS.len()),
];

/// Runs a module on both engines, each layout against the peer; `seed` chooses random arguments, and where our instances
/// live.
///
/// # Errors
/// The first difference, in words.
pub(crate) fn compare(wasm: &[u8], seed: u64) -> Result<Compared, String> {
    let peer = PeerModule::new(wasm).map_err(|e| format!("wasmi refuses the module: {e}"))?;
    let mut compared = Compared::default();
    for layout in layouts() {
        let layout_name = layout_name(layout);
        let ours = selvedge_testkit::module(wasm, layout).map_err(|e| format!("{layout_name}: refused: {e:#}"))?;
        let (recycling, rounds) = HOMES[(seed % HOMES.len() as u64) as usize];
        let ours = OurModule::new(&ours, recycling).map_err(|e| format!("{layout_name}: {e}"))?;
        for round in ROUNDS.into_iter().cycle().take(rounds) {
            let mut random = Random::new(seed ^ 0x5e1f);
            let found = one_round(&ours, &peer, round, &mut random, &mut compared);
            found.map_err(|difference| format!("{layout_name}, {recycling:?}, arguments {round:?}: {difference}"))?;
        }
    }
    Ok(compared)
}

/// Calls every function in fresh instances, in order, state carried from one call to the next.
fn one_round(
    ours: &OurModule,
    peer: &PeerModule,
    round: Arguments,
    random: &mut Random,
    compared: &mut Compared,
) -> Result<(), String> {
    let (mut ours, mut peer) = match (Ours::new(ours), Peer::new(peer)) {
        (Ok(ours), Ok(peer)) => (ours, peer),
        (Err(Ending::StackExhausted), _) | (_, Err(Ending::StackExhausted)) => return Ok(()),
        (Err(ours), Err(peers)) if same_ending(&ours, &peers) => return Ok(()),
        (ours, peers) => {
            return Err(format!("instantiation: ours {:?}, wasmi {:?}", ours.err(), peers.err()));
        }
    };
    same_state(&ours, &peer).map_err(|what| format!("after instantiation {what}"))?;
    let signatures = ours.signatures();
    let names: Vec<String> = signatures.iter().map(|(name, _)| name.clone()).collect();
    for (index, (name, params)) in signatures.iter().enumerate() {
        let args: Vec<Value> = params.iter().map(|ty| argument(*ty, round, random, &names)).collect();
        let (our_end, peers_end) = (ours.call(index, &args), peer.call(name, &args));
        compared.calls += 1;
        if our_end == Ending::StackExhausted || peers_end == Ending::StackExhausted {
            compared.cut_short += 1;
            return Ok(());
        }
        let place = || format!("function {index} {name:?} with {args:x?}: ");
        if !same_ending(&our_end, &peers_end) {
            return Err(format!("{}ours {our_end:x?}, wasmi {peers_end:x?}", place()));
        }
        compared.returned += u64::from(matches!(our_end, Ending::Returned(_)));
        same_state(&ours, &peer).map_err(|what| place() + &what)?;
    }
    Ok(())
}

fn same_state(ours: &Ours, peer: &Peer) -> Result<(), String> {
    for name in peer.names() {
        same_memory(ours.memory(name), peer.memory(name)).map_err(|e| format!("memory {name:?} {e}"))?;
        match (ours.global(name), peer.global(name)) {
            (None, None) => {}
            (Some(ours), Some(peers)) if same(&ours, &peers) => {}
            (ours, peers) => return Err(format!("global {name:?}: ours {ours:x?}, wasmi {peers:x?}")),
        }
        match (ours.table(name), peer.table(name)) {
            (None, None) => {}
            (Some(ours), Some(peers)) if all_same(&ours, &peers) => {}
            (ours, peers) => return Err(format!("table {name:?}: ours {ours:x?}, wasmi {peers:x?}")),
        }
    }
    Ok(())
}

fn same_memory(ours: Option<&[u8]>, peers: Option<&[u8]>) -> Result<(), String> {
    let (ours, peers) = match (ours, peers) {
        (None, None) => return Ok(()),
        (Some(ours), Some(peers)) => (ours, peers),
        _ => return Err("is exported by one engine alone".into()),
    };
    if ours.len() != peers.len() {
        return Err(format!("has {} bytes, on wasmi {}", ours.len(), peers.len()));
    }
    if ours == peers {
        return Ok(());
    }
    let at = ours.iter().zip(peers).position(|(a, b)| a != b).unwrap_or(0);
    let end = (at + 16).min(ours.len());
    Err(format!("differs at {at:#x}: ours {:02x?}, wasmi {:02x?}", &ours[at..end], &peers[at..end]))
}

fn argument(ty: Type, round: Arguments, random: &mut Random, functions: &[String]) -> Value {
    let bits = u128::from(random.bits()) << 64 | u128::from(random.bits());
    if let (Type::FuncRef | Type::ExternRef, _) = (ty, round) {
        return reference(ty, round, bits as u64, functions);
    }
    match round {
        Arguments::Zeros => number(ty, 0),
        Arguments::Ones => one(ty),
        Arguments::Extremes => extreme(ty, bits as usize),
        Arguments::Random => number(ty, bits),
    }
}

fn reference(ty: Type, round: Arguments, bits: u64, functions: &[String]) -> Value {
    let some = !matches!(round, Arguments::Zeros) && !bits.is_multiple_of(3);
    match ty {
        Type::FuncRef => Value::FuncRef(some.then(|| functions[bits as usize % functions.len()].clone())),
        _ => Value::ExternRef(some.then_some(bits as u32 % 8)),
    }
}

fn number(ty: Type, bits: u128) -> Value {
    match ty {
        Type::I32 => Value::I32(bits as u32),
        Type::I64 => Value::I64(bits as u64),
        Type::F32 => Value::F32(bits as u32),
        Type::F64 => Value::F64(bits as u64),
        Type::V128 => Value::V128(bits),
        Type::FuncRef => Value::FuncRef(None),
        Type::ExternRef => Value::ExternRef(None),
    }
}

fn one(ty: Type) -> Value {
    match ty {
        Type::F32 => Value::F32(1f32.to_bits()),
        Type::F64 => Value::F64(1f64.to_bits()),
        Type::V128 => Value::V128(0x0000_0001_0000_0001_0000_0001_0000_0001),
        _ => number(ty, 1),
    }
}

fn extreme(ty: Type, pick: usize) -> Value {
    const F32: [f32; 6] = [f32::MAX, f32::MIN_POSITIVE, f32::INFINITY, f32::NEG_INFINITY, -0.0, f32::NAN];
    const F64: [f64; 6] = [f64::MAX, f64::MIN_POSITIVE, f64::INFINITY, f64::NEG_INFINITY, -0.0, f64::NAN];
    const I32: [u32; 4] = [u32::MAX, i32::MAX as u32, i32::MIN as u32, 0xffff];
    const I64: [u64; 6] = [u64::MAX, i64::MAX as u64, i64::MIN as u64, 1 << 32, u32::MAX as u64, 0xffff];
    match ty {
        Type::I32 => Value::I32(I32[pick % I32.len()]),
        Type::I64 => Value::I64(I64[pick % I64.len()]),
        Type::F32 => Value::F32(F32[pick % F32.len()].to_bits()),
        Type::F64 => Value::F64(F64[pick % F64.len()].to_bits()),
        _ => number(ty, u128::MAX),
    }
}
