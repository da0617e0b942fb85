//! The processes of a gateway: the one that was started, and those that took over from it.

use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Gateway, field, parse};
use crate::harness::wait_for;

/// The message of the event that a process logs when another one has taken over from it.
const TAKEN_OVER: &str =
    "upgrade: the new process has taken over; serving open connections to their end";

/// Sends a signal. The process may already have ended.
pub(crate) fn send_signal(name: &str, process: u32) {
    let _ = Command::new("sh")
        .args(["-c", &format!("kill -{name} {process} 2>/dev/null")])
        .status()
        .expect("a shell");
}

impl Gateway {
    /// Returns the path of the program that an upgrade starts.
    pub(crate) fn program(&self) -> PathBuf {
        self.folder.path().join("keygate")
    }

    /// Returns the process that serves: the one that took over last, or the one that was started.
    pub(crate) fn process(&self) -> u32 {
        let ready = self.events("ready").pop().and_then(|event| field(&event, "process")?.as_u64());
        ready.and_then(|process| u32::try_from(process).ok()).unwrap_or(self.child.id())
    }

    /// Triggers an upgrade and waits until another process serves.
    #[track_caller]
    pub(crate) fn upgrade(&self) {
        let before = self.process();
        self.signal("USR2");
        wait_for("another process serves", || (self.process() != before).then_some(()));
        // The old and the new process log their events in either order.
        wait_for("the process before has heard of it", || {
            let told = |event: &Value| {
                field(event, "process").and_then(Value::as_u64) == Some(self.process().into())
            };
            self.events(TAKEN_OVER).iter().any(told).then_some(())
        });
    }

    /// Sends a signal, such as `TERM`, to the process that serves.
    pub(crate) fn signal(&self, name: &str) {
        send_signal(name, self.process());
    }

    /// Returns the value of this line of `/proc/PID/status`, in kibibytes.
    pub(crate) fn memory(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process()))
            .expect("its status");
        let figure = status.lines().find_map(|text| {
            text.strip_prefix(line)?.strip_prefix(':')?.split_whitespace().next()?.parse().ok()
        });
        figure.expect("the line")
    }

    /// Returns the CPU time that the process has used.
    pub(crate) fn cpu(&self) -> Duration {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", self.process())).expect("its state");
        // proc(5): utime and stime, in hundredths of a second. The name before them may contain
        // spaces.
        let fields: Vec<&str> =
            stat.rsplit_once(") ").expect("a name").1.split(' ').skip(11).take(2).collect();
        let ticks: u64 = fields.iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
        Duration::from_millis(ticks * 10)
    }

    /// Returns how many file descriptors, including sockets, the process has open.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process())).expect("its descriptors").count()
    }

    /// Returns the number of file descriptors once it has been constant for 300 ms, because
    /// starting threads open some.
    pub(crate) fn descriptors_at_rest(&self) -> usize {
        let mut seen = (self.descriptors(), Instant::now());
        wait_for("a steady number of descriptors", || {
            let now = self.descriptors();
            if now != seen.0 {
                seen = (now, Instant::now());
            }
            (seen.1.elapsed() > Duration::from_millis(300)).then_some(now)
        })
    }

    /// Sends SIGTERM and waits until all processes have ended.
    pub(crate) fn stop(self) -> ExitStatus {
        self.signal("TERM");
        self.ended()
    }

    /// Waits until every process has ended. Returns the exit status of the first one.
    pub(crate) fn ended(mut self) -> ExitStatus {
        let status = wait_for("the gateway stops", || self.child.try_wait().expect("its state"));
        wait_for("all of its processes stop", || self.successors().is_empty().then_some(()));
        status
    }

    /// Waits until the process that was started has ended, while another one serves.
    pub(crate) fn first_process_ended(&mut self) -> ExitStatus {
        wait_for("the first process ends", || self.child.try_wait().expect("its state"))
    }

    /// Returns the live processes of this gateway, except the one that was started.
    pub(super) fn successors(&self) -> Vec<u32> {
        let named =
            parse(&self.events).into_iter().filter_map(|event| field(&event, "process")?.as_u64());
        let mut processes: Vec<u32> =
            named.filter_map(|process| u32::try_from(process).ok()).collect();
        processes.sort_unstable();
        processes.dedup();
        let folder = self.folder.path().display().to_string();
        let is_ours = |process: &u32| {
            // A zombie has no command line.
            let line = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
            *process != self.child.id() && String::from_utf8_lossy(&line).contains(&folder)
        };
        processes.into_iter().filter(is_ours).collect()
    }
}
