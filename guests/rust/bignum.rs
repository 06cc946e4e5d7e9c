//! Numbers of any size: factorials, powers, Fibonacci numbers and digits of e, exactly.
//!
//!     bignum factorial 50 | power 7 300 | fibonacci 1000 | e 200 | prime 18446744073709551557
//!
//! Base 10^9 limbs in `u32`, products in `u64`; primality by Miller-Rabin over `u128`; each command
//! is a closure in a table.

use std::collections::HashMap;
use std::fmt;
use std::ops::{Add, Mul};

const BASE: u64 = 1_000_000_000;

/// Limbs, lowest first, none for zero.
#[derive(Clone, PartialEq)]
struct Big(Vec<u32>);

impl From<u64> for Big {
    fn from(mut value: u64) -> Big {
        let mut limbs = Vec::new();
        while value > 0 {
            limbs.push((value % BASE) as u32);
            value /= BASE;
        }
        Big(limbs)
    }
}

impl Add for &Big {
    type Output = Big;
    fn add(self, other: &Big) -> Big {
        let (mut limbs, mut carry) = (Vec::new(), 0);
        for i in 0..self.0.len().max(other.0.len()) {
            let sum = carry + self.0.get(i).unwrap_or(&0) + other.0.get(i).unwrap_or(&0);
            limbs.push(sum % BASE as u32);
            carry = sum / BASE as u32;
        }
        if carry > 0 {
            limbs.push(carry);
        }
        Big(limbs)
    }
}

impl Mul for &Big {
    type Output = Big;
    fn mul(self, other: &Big) -> Big {
        let mut limbs = vec![0u32; self.0.len() + other.0.len()];
        for (i, &a) in self.0.iter().enumerate() {
            let mut carry = 0u64;
            for (j, &b) in other.0.iter().enumerate() {
                let sum = u64::from(a) * u64::from(b) + u64::from(limbs[i + j]) + carry;
                limbs[i + j] = (sum % BASE) as u32;
                carry = sum / BASE;
            }
            limbs[i + other.0.len()] = carry as u32;
        }
        while limbs.last() == Some(&0) {
            limbs.pop();
        }
        Big(limbs)
    }
}

impl Big {
    fn divide_small(&mut self, divisor: u64) {
        let mut rest = 0;
        for limb in self.0.iter_mut().rev() {
            let value = rest * BASE + u64::from(*limb);
            *limb = (value / divisor) as u32;
            rest = value % divisor;
        }
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    fn power(mut base: Big, mut exponent: u64) -> Big {
        let mut result = Big::from(1);
        while exponent > 0 {
            if exponent & 1 == 1 {
                result = &result * &base;
            }
            base = &base * &base;
            exponent >>= 1;
        }
        result
    }
}

impl fmt::Display for Big {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_last() {
            None => write!(out, "0"),
            Some((top, rest)) => {
                write!(out, "{}", top)?;
                rest.iter().rev().try_for_each(|limb| write!(out, "{:09}", limb))
            }
        }
    }
}

fn fibonacci(n: u64) -> Big {
    (0..n).fold((Big::from(0), Big::from(1)), |(a, b), _| (b.clone(), &a + &b)).0
}

/// The first digits of e, from the sum of 1/n! in fixed point with ten digits to spare.
fn digits_of_e(digits: u64) -> String {
    let mut term = Big::power(Big::from(10), digits + 10);
    let mut sum = term.clone();
    for n in 1.. {
        term.divide_small(n);
        if term.0.is_empty() {
            break;
        }
        sum = &sum + &term;
    }
    let text = sum.to_string();
    format!("2.{}", &text[1..=digits as usize])
}

fn power_modulo(base: u64, mut exponent: u64, modulus: u64) -> u64 {
    let m = u128::from(modulus);
    let (mut base, mut result) = (u128::from(base) % m, 1u128);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = result * base % m;
        }
        base = base * base % m;
        exponent >>= 1;
    }
    result as u64
}

/// Miller-Rabin with the twelve bases that decide every 64-bit number.
fn is_prime(n: u64) -> bool {
    const BASES: [u64; 12] = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37];
    if n < 2 || BASES.iter().any(|&p| n != p && n % p == 0) {
        return false;
    }
    let twos = (n - 1).trailing_zeros();
    BASES.iter().filter(|&&a| a < n).all(|&a| {
        let mut x = power_modulo(a, (n - 1) >> twos, n);
        let mut witness = x != 1 && x != n - 1;
        for _ in 1..twos {
            x = power_modulo(x, 2, n);
            witness &= x != n - 1;
        }
        !witness
    })
}

type Command = Box<dyn Fn(&[u64]) -> String>;

fn main() {
    let mut commands: HashMap<&str, Command> = HashMap::new();
    commands.insert("factorial", Box::new(|n| (1..=n[0]).fold(Big::from(1), |a, b| &a * &Big::from(b)).to_string()));
    commands.insert("power", Box::new(|n| Big::power(Big::from(n[0]), n[1]).to_string()));
    commands.insert("fibonacci", Box::new(|n| fibonacci(n[0]).to_string()));
    commands.insert("e", Box::new(|n| digits_of_e(n[0])));
    commands.insert("prime", Box::new(|n| is_prime(n[0]).to_string()));

    let mut args = std::env::args().skip(1).peekable();
    while let Some(name) = args.next() {
        let mut numbers = Vec::new();
        while let Some(Ok(number)) = args.peek().map(|word| word.parse()) {
            numbers.push(number);
            args.next();
        }
        match commands.get(name.as_str()) {
            Some(command) => println!("{} {:?} = {}", name, numbers, command(&numbers)),
            None => eprintln!("bignum: no command \"{}\"", name),
        }
    }
}
