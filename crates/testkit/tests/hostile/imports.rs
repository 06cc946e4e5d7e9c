//! Missing imports are named, all of them, with their types.

use selvedge_runtime::{Found, InstantiateError};
use selvedge_testkit::{instance, layouts};

const WAT: &str = r#"(module
    (import "env" "first" (func (param i32 f64) (result i64)))
    (import "env" "second" (memory 1 2))
    (import "other" "third" (table 3 externref))
    (import "other" "a name with \"quotes\"\n" (global (mut v128))))"#;

#[test]
fn all_missing_imports_are_named_with_their_types() {
    for layout in layouts() {
        let Err(error) = instance(WAT, layout) else { panic!("nothing was provided") };
        let Some(InstantiateError::Link(error)) = error.downcast_ref() else { panic!("{error}") };
        assert_eq!(error.problems.len(), 4);
        assert!(error.problems.iter().all(|problem| problem.found == Found::Nothing));
        let message = error.to_string();
        for part in
            ["4 imports are", "env first", "(i32, f64) -> (i64)", "env second", "other third", "externref", "v128"]
        {
            assert!(message.contains(part), "{part:?} is not in:\n{message}");
        }
    }
}
