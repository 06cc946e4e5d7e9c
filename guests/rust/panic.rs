//! Panics in the way its argument names; what it printed before must not be lost.

use std::cell::RefCell;
use std::collections::HashMap;

struct Farewell;

impl Drop for Farewell {
    fn drop(&mut self) {
        println!("never printed: a panic here aborts without unwinding");
    }
}

fn fail(way: &str, numbers: &[u32]) -> u32 {
    match way {
        "index" => numbers[numbers.len() + 2],
        "unwrap" => "twelve".parse().unwrap(),
        "expect" => *HashMap::<u32, u32>::new().get(&7).expect("seven should be there"),
        "borrow" => {
            let cell = RefCell::new(1);
            let _held = cell.borrow_mut();
            let value = *cell.borrow();
            value
        }
        "divide" => 10 / (numbers[0] - 1),
        "slice" => "über"[1..].len() as u32,
        "capacity" => Vec::<u64>::with_capacity(usize::MAX / 8 - 1).len() as u32,
        "abort" => std::process::abort(),
        "exit" => std::process::exit(3),
        other => panic!("no way called {:?}", other),
    }
}

fn main() {
    let way = std::env::args().nth(1).unwrap_or_default();
    println!("about to fail: {}", way);
    let _farewell = Farewell;
    let result = fail(&way, &[1, 2, 3]);
    println!("survived: {}", result);
}
