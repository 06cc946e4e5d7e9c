//! Values on the command line: arguments of `--invoke` by the export's signature, results for people.

use anyhow::{Context, Result, bail, ensure};
use selvedge_runtime::{FuncType, Val, ValType};

/// Arguments for a function of this type.
pub(crate) fn parse_all(texts: &[String], ty: &FuncType) -> Result<Vec<Val>> {
    let (given, wanted) = (texts.len(), ty.params.len());
    ensure!(given == wanted, "the function has type {ty}: it takes {wanted} arguments, {given} were given");
    let parse = |(at, (text, ty)): (usize, (&String, &ValType))| {
        parse(text, *ty).with_context(|| format!("argument {} cannot be used", at + 1))
    };
    texts.iter().zip(&ty.params).enumerate().map(parse).collect()
}

/// One value: integers signed or unsigned, decimal or hexadecimal, floats as usual, `null` for references.
fn parse(text: &str, ty: ValType) -> Result<Val> {
    let wrong = || format!("{text:?} is no {ty}");
    Ok(match ty {
        ValType::I32 => {
            let wide = integer(text).with_context(wrong)?;
            ensure!((i128::from(i32::MIN)..=i128::from(u32::MAX)).contains(&wide), "{text} does not fit an i32");
            Val::I32(wide as i32)
        }
        ValType::I64 => {
            let wide = integer(text).with_context(wrong)?;
            ensure!((i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&wide), "{text} does not fit an i64");
            Val::I64(wide as i64)
        }
        ValType::F32 => text.parse::<f32>().with_context(wrong)?.into(),
        ValType::F64 => text.parse::<f64>().with_context(wrong)?.into(),
        ValType::V128 => match text.strip_prefix("0x").map(|digits| u128::from_str_radix(digits, 16)) {
            Some(bits) => Val::V128(bits.with_context(wrong)?),
            None => bail!("{text:?} is no v128; write 0x and up to 32 hexadecimal digits"),
        },
        ValType::FuncRef | ValType::ExternRef => {
            ensure!(text == "null", "the only {ty} that can be given here is null");
            Val::default_of(ty)
        }
    })
}

fn integer(text: &str) -> Result<i128> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let magnitude = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16)?,
        None => digits.parse::<u64>()?,
    };
    Ok(sign * i128::from(magnitude))
}

/// A result: numbers as they are, in signed decimal.
pub(crate) fn show(value: &Val) -> String {
    match value {
        Val::I32(value) => value.to_string(),
        Val::I64(value) => value.to_string(),
        Val::F32(bits) => f32::from_bits(*bits).to_string(),
        Val::F64(bits) => f64::from_bits(*bits).to_string(),
        Val::V128(bits) => format!("{bits:#034x}"),
        Val::FuncRef(None) | Val::ExternRef(None) => "null".into(),
        Val::FuncRef(Some(_)) => "funcref".into(),
        Val::ExternRef(Some(_)) => "externref".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_follow_the_signature() {
        let ty = FuncType::new([ValType::I32, ValType::I64, ValType::F64, ValType::ExternRef], []);
        let texts = ["4294967295", "-0x10", "nan", "null"].map(String::from);
        let values = parse_all(&texts, &ty).unwrap();
        assert_eq!(values[..2], [Val::I32(-1), Val::I64(-16)]);
        assert!(values[2].f64().unwrap().is_nan());
        assert!(parse_all(&texts[1..], &ty).is_err());
        for (text, ty) in [
            ("4294967296", ValType::I32),
            ("-2147483649", ValType::I32),
            ("18446744073709551616", ValType::I64),
            ("1.5", ValType::I64),
            ("", ValType::I32),
            ("x", ValType::F32),
            ("12", ValType::V128),
            ("0", ValType::FuncRef),
        ] {
            assert!(parse(text, ty).is_err(), "{text}");
        }
    }
}
