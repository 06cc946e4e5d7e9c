//! Rule 1: the function table agrees with the contract, and nothing but code lies in text.

use selvedge_contract::artifact::{ArtifactIndex, FunctionRecord, TextFunction};

use crate::Report;
use crate::facts::Facts;
use crate::report::{Refusal, Rule};

/// What fills text between functions: a trap.
const PADDING: u8 = 0xcc;

/// Checks the tables, and collects what they say.
pub(crate) fn check<'a>(artifact: &'a [u8], index: &'a ArtifactIndex) -> Result<Facts<'a>, Box<Report>> {
    if let Err(error) = index.check_tables(artifact) {
        return Err(refuse(0, 0, error.to_string()));
    }
    let facts = Facts::new(artifact, index);
    let count = facts.records.len();
    if count != facts.counts.total() {
        return Err(refuse(count, 0, "the function table does not match the contract"));
    }
    let wrong = (0..count).find(|number| !is_typed(&facts, *number));
    if let Some(number) = wrong {
        let at = facts.records[number].text_offset;
        return Err(refuse(
            count,
            at,
            format!("function {number} of the text has another type than the contract says"),
        ));
    }
    match gap(&facts) {
        Some(at) => Err(refuse(count, at, "there is something between the functions")),
        None => Ok(facts),
    }
}

fn refuse(functions: usize, offset: u32, detail: impl Into<String>) -> Box<Report> {
    let refusal = Refusal {
        function: None,
        name: None,
        offset,
        instruction: String::new(),
        before: Vec::new(),
        rule: Rule::Metadata,
        detail: detail.into(),
        state: String::new(),
    };
    Box::new(Report { functions, refused: functions, refusals: vec![refusal] })
}

/// Whether a function's recorded type is the one the contract gives it.
fn is_typed(facts: &Facts<'_>, number: usize) -> bool {
    let recorded = facts.contract.types.get(facts.records[number].ty as usize);
    let of = |ty: Option<&u32>| ty.and_then(|ty| facts.contract.types.get(*ty as usize));
    match facts.counts.at(number) {
        Some(TextFunction::HostThunk(import) | TextFunction::ImportThunk(import)) => {
            recorded == of(facts.imports.get(import as usize))
        }
        Some(TextFunction::Entry(ty)) => recorded == of(Some(&ty)),
        // That there is such a type is asked where the function is proved.
        Some(TextFunction::Defined(_) | TextFunction::BadCall) => true,
        None => false,
    }
}

/// The first byte between functions, or after them, that is no padding.
fn gap(facts: &Facts<'_>) -> Option<u32> {
    let starts = facts.records.iter().map(|record| record.text_offset).chain([facts.text.len() as u32]);
    let ends = [0].into_iter().chain(facts.records.iter().map(FunctionRecord::text_end));
    ends.zip(starts).find_map(|(end, start)| {
        let bytes = facts.text.get(end as usize..start as usize)?;
        bytes.iter().position(|byte| *byte != PADDING).map(|at| end + at as u32)
    })
}
