//! Guest code that was left and does not go on: where it was, and why.

use selvedge_contract::trap::TrapCode;

use crate::arena::Arena;
use crate::control::{Payload, State, reason};
use crate::enter::{Ending, Exit, Trap, before_breakpoint};

/// Most return addresses collected for a backtrace.
const FRAMES_MAX: usize = 128;

/// A call that did not return.
pub(crate) struct Left {
    why: u32,
    pc: u64,
    /// The import slot of the direct call it stands in, or 0.
    direct: u64,
    trap_code: u32,
    frames: Vec<u64>,
    panic: Option<Box<Payload>>,
}

impl Left {
    #[cold]
    pub(crate) fn new(state: &mut State, stack_top: u64, why: u32) -> Left {
        match why {
            reason::STOPPED_BEFORE => (state.pc, state.guest_rbp) = (0, 0),
            reason::STOPPED_AFTER_CALL => _ = state.stopped_while_suspended(),
            _ => {}
        }
        let frames = frames(state, stack_top);
        let direct = std::mem::take(&mut state.direct);
        Left { why, pc: state.pc, direct, trap_code: state.trap_code, frames, panic: state.panic.take() }
    }

    #[cold]
    pub(crate) fn exit(self, arena: &Arena) -> Exit {
        let Left { why, pc, direct, mut frames, .. } = self;
        let pc = if direct == 0 { pc } else { arena.host_thunk_at(direct) };
        let trap = |code: Option<TrapCode>, frames| {
            let code = code.unwrap_or_else(|| bug("guest code trapped for an unknown reason", pc));
            Ending::Trapped(Trap { code, pc, frames })
        };
        let ending = match why {
            reason::RAISED => trap(u8::try_from(self.trap_code).ok().and_then(TrapCode::from_byte), frames),
            reason::FAULT => trap(arena.trap_at(pc), frames),
            reason::EXHAUSTED => {
                arena.take_wanted();
                Ending::Trapped(Trap { code: TrapCode::MeterExhausted, pc: before_breakpoint(pc), frames })
            }
            reason::INTERRUPTED | reason::STOPPED_BEFORE | reason::STOPPED_AFTER_CALL => {
                let by = arena.control().signal().take();
                Ending::Interrupted { by: by.unwrap_or_else(|| bug("nobody asked guest code to stop", pc)), pc, frames }
            }
            reason::HOST_PANICKED => {
                frames.insert(0, pc + 1);
                Ending::HostPanicked {
                    payload: self.panic.map_or_else(|| Box::new("unknown") as _, |payload| *payload),
                    frames,
                }
            }
            reason::HOST_LEFT => {
                frames.insert(0, pc + 1);
                Ending::HostLeft { frames }
            }
            _ => bug("guest code was left for an unknown reason", pc),
        };
        ending.into()
    }
}

/// Our own bug, or a broken artifact's: going on would run on broken ground.
pub(crate) fn bug(what: &str, pc: u64) -> ! {
    eprintln!("selvedge: {what} (pc {pc:#x}); this is a bug in the host, the process ends");
    std::process::abort();
}

/// Return addresses of the guest frames of one entry, innermost first.
pub(crate) fn frames(state: &State, stack_top: u64) -> Vec<u64> {
    let stack = state.stack().start..stack_top;
    let mut frames = Vec::new();
    let mut frame = state.guest_rbp;
    while frames.len() < FRAMES_MAX && frame.is_multiple_of(8) && stack.contains(&frame) && frame + 16 <= stack.end {
        // SAFETY: the frame lies within the arena's mapped stack, aligned; guest code is stopped.
        let (next, address) = unsafe { ((frame as *const u64).read(), (frame as *const u64).add(1).read()) };
        if next == 0 || !crate::region::contains(address) {
            break;
        }
        frames.push(address);
        if next <= frame {
            break;
        }
        frame = next;
    }
    frames
}
