//! A ledger in a file: commands come on standard input, every change is appended to a log in the
//! directory given as the first argument, and opening the ledger replays the log.
//!
//!     ledger DIR < commands
//!
//! Commands: `pay FROM TO CENTS`, `balance NAME`, `all`, `compact`, `reopen`. A check (FNV-1a)
//! guards each log line.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

struct Ledger {
    directory: PathBuf,
    log: File,
    balances: BTreeMap<String, i64>,
    replayed: usize,
}

fn check(text: &str) -> u32 {
    text.bytes()
        .fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

fn cents(amount: i64) -> String {
    let sign = if amount < 0 { "-" } else { "" };
    format!("{}{}.{:02}", sign, amount.abs() / 100, amount.abs() % 100)
}

impl Ledger {
    fn open(directory: &Path) -> Result<Ledger> {
        let path = directory.join("ledger.log");
        let log = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
        let mut ledger = Ledger { directory: directory.into(), log, balances: BTreeMap::new(), replayed: 0 };
        ledger.replay()?;
        Ok(ledger)
    }

    fn replay(&mut self) -> Result<()> {
        self.log.seek(SeekFrom::Start(0))?;
        for line in BufReader::new(&self.log).lines() {
            let line = line?;
            let (found, entry) = line.split_once(' ').ok_or("a log line without a check")?;
            if u32::from_str_radix(found, 16)? != check(entry) {
                return Err(format!("damaged log line: {}", line).into());
            }
            let mut words = entry.split(' ');
            let (name, amount) = (words.next().ok_or("no name")?, words.next().ok_or("no amount")?);
            *self.balances.entry(name.to_string()).or_insert(0) += amount.parse::<i64>()?;
            self.replayed += 1;
        }
        Ok(())
    }

    fn record(&mut self, name: &str, amount: i64) -> Result<()> {
        let entry = format!("{} {}", name, amount);
        writeln!(self.log, "{:08x} {}", check(&entry), entry)?;
        *self.balances.entry(name.to_string()).or_insert(0) += amount;
        Ok(())
    }

    /// Rewrites the log as one line per name, beside the old one, then swaps the two.
    fn compact(&mut self) -> Result<u64> {
        let (new, old) = (self.directory.join("ledger.new"), self.directory.join("ledger.log"));
        let before = fs::metadata(&old)?.len();
        let mut file = File::create(&new)?;
        for (name, amount) in &self.balances {
            let entry = format!("{} {}", name, amount);
            writeln!(file, "{:08x} {}", check(&entry), entry)?;
        }
        drop(file);
        fs::rename(&new, &old)?;
        *self = Ledger::open(&self.directory.clone())?;
        Ok(before - fs::metadata(&old)?.len())
    }

    fn obey(&mut self, command: &str) -> Result<String> {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words[..] {
            ["pay", from, to, amount] => {
                let amount: i64 = amount.parse()?;
                self.record(from, -amount)?;
                self.record(to, amount)?;
                Ok(format!("{} paid {} {}", from, to, cents(amount)))
            }
            ["balance", name] => match self.balances.get(name) {
                Some(amount) => Ok(format!("{} has {}", name, cents(*amount))),
                None => Err(format!("nobody is called {}", name).into()),
            },
            ["all"] => Ok(self
                .balances
                .iter()
                .map(|(name, amount)| format!("{:<8}{:>12}", name, cents(*amount)))
                .collect::<Vec<_>>()
                .join("\n")),
            ["compact"] => Ok(format!("{} bytes saved", self.compact()?)),
            ["reopen"] => {
                *self = Ledger::open(&self.directory.clone())?;
                Ok(format!("{} entries replayed", self.replayed))
            }
            _ => Err(format!("what is \"{}\"?", command).into()),
        }
    }
}

fn main() -> Result<()> {
    let directory = std::env::args().nth(1).ok_or("usage: ledger DIR")?;
    let mut ledger = Ledger::open(Path::new(&directory))?;
    for line in io::stdin().lock().lines() {
        match ledger.obey(&line?) {
            Ok(answer) => println!("{}", answer),
            Err(problem) => println!("! {}", problem),
        }
    }
    Ok(())
}
