//! Calls that have nothing to do with files: arguments, clocks, random bytes, waiting, endings.

use selvedge_runtime::CallError;
use selvedge_wasi::{Clocks, Quotas, Randomness, WasiBuilder};

use super::numbers::errno::{INVAL, NOTSUP};
use super::numbers::right;
use super::tree::{Answer, Node};
use super::{Call, Choices, Compared, DATA, DATA_BYTES, DESCRIPTORS_MAX, RESULT, Run, SECOND_RESULT, What, same};

const ARGS: [&str; 3] = ["program", "two words", ""];
const VARIABLE: (&str, &str) = ("NAME", "value=");
const REALTIME_NS: u64 = 1_000_000_000_000_000_000;
const STEP_NS: u64 = 10;

/// The rest of what the guest of a sequence is granted.
pub(super) fn grant(builder: WasiBuilder) -> WasiBuilder {
    let clocks = Clocks::Fixed { realtime_ns: REALTIME_NS, step_ns: STEP_NS };
    let mut quotas = Quotas::default();
    quotas.descriptors_max = DESCRIPTORS_MAX;
    builder.quotas(quotas).args(ARGS).env(VARIABLE.0, VARIABLE.1).clocks(clocks).randomness(Randomness::Seed(7))
}

/// The time of a sequence.
#[derive(Default)]
pub(super) struct Clock {
    passed_ns: u64,
    /// What the monotonic clock showed at the start, once it was looked at.
    start_ns: Option<u64>,
}

/// A subscription, and what the model says of it.
struct Awaited {
    userdata: u64,
    tag: u8,
    /// The event, if it is there at once: errno and bytes.
    now: Option<(i32, u64)>,
    /// When it comes, if it is a clock.
    after_ns: u64,
}

impl Run {
    pub(super) fn system(&mut self, choices: &mut Choices<'_>) -> Compared {
        match choices.below(8)? {
            0 => self.strings(choices, "args_sizes_get", "args_get", &ARGS.map(str::to_owned)),
            1 => {
                let variable = format!("{}={}", VARIABLE.0, VARIABLE.1);
                self.strings(choices, "environ_sizes_get", "environ_get", &[variable])
            }
            2 => self.time(choices),
            3 => self.resolution(choices),
            4 => self.random(choices),
            5 => self.raise(choices),
            _ => self.call(choices, &Call::new("sched_yield", Vec::new()), Ok(())),
        }
    }

    /// How many strings there are and how long, or the strings themselves.
    fn strings(
        &mut self,
        choices: &mut Choices<'_>,
        sizes: &'static str,
        get: &'static str,
        expected: &[String],
    ) -> Compared {
        let bytes: Vec<u8> = expected.iter().flat_map(|string| string.bytes().chain([0])).collect();
        if choices.one_in(2)? {
            let arguments = vec![RESULT.into(), SECOND_RESULT.into()];
            let call = Call { name: sizes, arguments, outputs: vec![(RESULT, 4), (SECOND_RESULT, 4)] };
            let compared = self.call(choices, &call, Ok(()))?;
            let found = (self.number(RESULT) as usize, self.number(SECOND_RESULT) as usize);
            return Some(compared.and_then(|()| same(&found, &(expected.len(), bytes.len()))));
        }
        let (len, table_len) = (bytes.len() as u32, expected.len() as u32 * 4);
        let arguments = vec![RESULT.into(), DATA.into()];
        let call = Call { name: get, arguments, outputs: vec![(RESULT, table_len), (DATA, len)] };
        let compared = self.call(choices, &call, Ok(()))?;
        let mut at = DATA;
        for (index, string) in expected.iter().enumerate() {
            if self.number(RESULT + index as u32 * 4) != at {
                return Some(Err(format!("{get} says that string {index} is elsewhere than at {at:#x}")));
            }
            at += string.len() as u32 + 1;
        }
        let found = self.bytes(DATA, len);
        Some(compared.and_then(|()| same(&found, &bytes)))
    }

    fn time(&mut self, choices: &mut Choices<'_>) -> Compared {
        let id = choices.below(5)?;
        let arguments = vec![id.into(), 1, RESULT.into()];
        let call = Call { name: "clock_time_get", arguments, outputs: vec![(RESULT, 8)] };
        let compared = self.call(choices, &call, if id < 2 { Ok(()) } else { Err(INVAL) })?;
        if id > 1 || compared.is_err() {
            return Some(compared);
        }
        let found = self.number64(RESULT);
        let passed = self.clock.passed_ns;
        let start = if id == 0 {
            REALTIME_NS
        } else {
            *self.clock.start_ns.get_or_insert_with(|| found.saturating_sub(passed))
        };
        self.clock.passed_ns += STEP_NS;
        Some(same(&found, &start.saturating_add(passed)))
    }

    fn resolution(&mut self, choices: &mut Choices<'_>) -> Compared {
        let id = choices.below(5)?;
        let arguments = vec![id.into(), RESULT.into()];
        let call = Call { name: "clock_res_get", arguments, outputs: vec![(RESULT, 8)] };
        let compared = self.call(choices, &call, if id < 2 { Ok(()) } else { Err(INVAL) })?;
        let found = self.number64(RESULT);
        Some(compared.and_then(|()| if id < 2 { same(&found, &STEP_NS) } else { Ok(()) }))
    }

    fn random(&mut self, choices: &mut Choices<'_>) -> Compared {
        let len = choices.below(100)?;
        let before = self.bytes(DATA, len);
        let arguments = vec![DATA.into(), len.into()];
        let call = Call { name: "random_get", arguments, outputs: vec![(DATA, len)] };
        let compared = self.call(choices, &call, Ok(()))?;
        let stayed = len >= 16 && self.bytes(DATA, len) == before;
        Some(compared.and_then(|()| if stayed { Err("random_get filled nothing".to_owned()) } else { Ok(()) }))
    }

    /// A signal that does not end the guest.
    fn raise(&mut self, choices: &mut Choices<'_>) -> Compared {
        let signal = choices.one_of(&[0, 13, 16, 17, 22, 27, 18, 19, 20, 21, 31, u32::MAX])?;
        let expected = match signal {
            18..=21 => Err(NOTSUP),
            31.. => Err(INVAL),
            _ => Ok(()),
        };
        self.call(choices, &Call::new("proc_raise", vec![signal.into()]), expected)
    }

    /// Ends the guest.
    pub(super) fn leave(&mut self) -> Result<(), String> {
        let (name, argument, code) =
            if self.log.len().is_multiple_of(2) { ("proc_exit", 3, 3) } else { ("proc_raise", 6, 134) };
        match self.guest.call(name, &[argument]) {
            Err(CallError::Exit(found)) => same(&found, &code),
            other => Err(format!("{name} came to {other:?}")),
        }
    }

    pub(super) fn poll(&mut self, choices: &mut Choices<'_>, fd: u32) -> Compared {
        let mut awaited = Vec::new();
        for userdata in 0..u64::from(choices.below(4)?) {
            awaited.push(if choices.one_in(2)? {
                self.await_clock(choices, userdata)?
            } else {
                let fd = if choices.one_in(2)? { fd } else { choices.one_of(&[3, 6, 7, 8, 40])? };
                self.await_fd(choices, userdata, fd)?
            });
        }
        let at_once = awaited.iter().any(|awaited| awaited.now.is_some());
        let clocks = awaited.iter().filter(|awaited| awaited.now.is_none());
        let wait_ns = if at_once { 0 } else { clocks.map(|awaited| awaited.after_ns).min().unwrap_or(0) };
        let event = |awaited: &Awaited| match awaited.now {
            Some((errno, bytes)) => Some((awaited.userdata, errno, awaited.tag, bytes)),
            None if awaited.after_ns <= wait_ns => Some((awaited.userdata, 0, awaited.tag, 0)),
            None => None,
        };
        let events: Vec<_> = awaited.iter().filter_map(event).collect();
        let events_at = DATA + DATA_BYTES / 2;
        let arguments = vec![DATA.into(), events_at.into(), awaited.len() as u64, RESULT.into()];
        let outputs = vec![(events_at, events.len() as u32 * 32), (RESULT, 4)];
        let expected = if awaited.is_empty() { Err(INVAL) } else { Ok(()) };
        let compared = self.call_once(&Call { name: "poll_oneoff", arguments, outputs }, expected);
        if expected.is_err() || compared.is_err() {
            return Some(compared);
        }
        self.clock.passed_ns += wait_ns;
        let count = self.number(RESULT).min(awaited.len() as u32);
        let mut found: Vec<_> = (0..count).map(|index| self.event(events_at + index * 32)).collect();
        found.sort();
        Some(same(&found, &events))
    }

    fn event(&mut self, at: u32) -> (u64, i32, u8, u64) {
        let what = self.number(at + 8);
        (self.number64(at), (what & 0xffff) as i32, (what >> 16) as u8, self.number64(at + 16))
    }

    /// Puts down a subscription of a clock.
    fn await_clock(&mut self, choices: &mut Choices<'_>, userdata: u64) -> Option<Awaited> {
        let id = choices.one_of(&[0, 1, 1, 2])?;
        let flags = choices.one_of(&[0u16, 0, 1, 2])?;
        let timeout_ns = choices.one_of(&[0, 1, 5_000, u64::from(u32::MAX), REALTIME_NS, REALTIME_NS * 2])?;
        let now_ns = if id == 0 { REALTIME_NS } else { self.clock.start_ns.unwrap_or(0) } + self.clock.passed_ns;
        // What the monotonic clock shows is not the model's to know before it was looked at.
        let timeout_ns = if flags == 1 && id == 1 && self.clock.start_ns.is_none() { 0 } else { timeout_ns };
        self.subscribe(userdata, 0, id, timeout_ns, flags);
        let now = if id > 1 || flags > 1 { Some((INVAL, 0)) } else { None };
        let after_ns = if flags == 1 { timeout_ns.saturating_sub(now_ns) } else { timeout_ns };
        Some(Awaited { userdata, tag: 0, now, after_ns })
    }

    /// Puts down a subscription of a descriptor.
    fn await_fd(&mut self, choices: &mut Choices<'_>, userdata: u64, fd: u32) -> Option<Awaited> {
        let tag = choices.one_of(&[1, 2, 3])?;
        self.subscribe(userdata, tag, fd, 0, 0);
        let now = match tag {
            3 => Err(INVAL),
            _ => self.available(fd, if tag == 1 { right::READ } else { right::WRITE }),
        };
        let now = now.map_or_else(|errno| (errno, 0), |bytes| (0, bytes));
        Some(Awaited { userdata, tag, now: Some(now), after_ns: 0 })
    }

    /// What can be read or written of a file.
    fn available(&self, fd: u32, rights: u64) -> Answer<u64> {
        let open = self.get(fd, right::POLL | rights)?;
        match open.what {
            What::File { id, position } if rights == right::READ => match &self.tree.0[id] {
                Node::File(contents) => Ok((contents.len() as u64).saturating_sub(position)),
                other => panic!("{other:?} is open as a file"),
            },
            _ => Ok(1),
        }
    }

    fn subscribe(&mut self, userdata: u64, tag: u8, number: u32, timeout_ns: u64, flags: u16) {
        let mut bytes = [0; 48];
        bytes[..8].copy_from_slice(&userdata.to_le_bytes());
        bytes[8] = tag;
        bytes[16..20].copy_from_slice(&number.to_le_bytes());
        bytes[24..32].copy_from_slice(&timeout_ns.to_le_bytes());
        bytes[40..42].copy_from_slice(&flags.to_le_bytes());
        self.put(DATA + userdata as u32 * 48, &bytes);
    }
}
