//! A target that calls one function for ever, and how it is seen from outside what a debugger makes of that.

use crate::programs::Programs;
use crate::running::Running;
use crate::target::{Language, Target};
use anyhow::{Result, ensure};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Calls a second that no debugger lets through and every free program exceeds: bare loops come to a tenth, a free
/// program to more than a hundred times as many.
const FREE: f64 = 1e6;

/// One look at the rate.
const LOOK: Duration = Duration::from_millis(20);

/// So few calls are no measure: the window is longer then, up to so many times.
const ENOUGH: u64 = 20;
const LONGER: u32 = 10;

/// No debugger may take longer to attach and set its breakpoint.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// See caller.c.
pub struct Caller {
    pub target: Target,
    /// The address of the function.
    pub work: u64,
    /// Where a copy of an instruction can be run.
    pub room: u64,
}

impl Caller {
    /// With `rate` calls a second, or as many as it can (0).
    pub fn start(programs: &Programs, language: Language, threads: u32, rate: u32) -> Result<Self> {
        let target = Target::start(programs, "caller", language, threads, &[rate.to_string()])?;
        let (work, room) = (target.field(32)?, target.field(40)?);
        Ok(Self { target, work, room })
    }

    pub fn pid(&self) -> u32 {
        self.target.pid()
    }

    pub fn calls(&self) -> Result<u64> {
        self.target.field(24)
    }

    /// Calls a second, over so long.
    pub fn rate(&self, window: Duration) -> Result<f64> {
        let (before, start) = (self.calls()?, Instant::now());
        sleep(window);
        Ok((self.calls()? - before) as f64 / start.elapsed().as_secs_f64())
    }

    /// Waits until the calls go on, but only as fast as `running` lets them. For a target that calls as fast as it can.
    pub fn wait_until_slow(&self, running: &mut Running) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut slow_looks = 0;
        let mut slow_calls = 0.0;
        // The first slow look may hold the end of free running; one call in the second may be the first hit.
        while slow_looks < 3 || slow_calls == 0.0 {
            running.expect_alive()?;
            ensure!(Instant::now() < deadline, "no call within {PATIENCE:?}");
            let rate = self.rate(LOOK)?;
            if rate > FREE {
                (slow_looks, slow_calls) = (0, 0.0);
                continue;
            }
            slow_looks += 1;
            if slow_looks > 1 {
                slow_calls += rate;
            }
        }
        Ok(())
    }

    /// Calls a second while `running` slows it down.
    pub fn slowed_rate(&self, running: &mut Running, window: Duration) -> Result<f64> {
        self.wait_until_slow(running)?;
        let (before, start) = (self.calls()?, Instant::now());
        let mut rate = self.rate(window)?;
        while self.calls()? < before + ENOUGH && start.elapsed() < LONGER * window {
            sleep(LOOK);
            rate = (self.calls()? - before) as f64 / start.elapsed().as_secs_f64();
        }
        running.expect_alive()?;
        ensure!(rate < FREE, "the program runs freely ({rate:.0} calls a second)");
        Ok(rate)
    }
}
