//! When missing debug info is fetched, and what became of each file: only if it was asked for, and only while no process is held. The
//! tracer thread starts jobs, opens their gates while it sleeps with nothing held, and never waits for them unasked.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use schemars::JsonSchema;
use serde::Serialize;

use super::failure::{Failure, Interrupted, without_os_numbers};
use super::fetch_news::{FetchNews, WaitsFor, files_words};
use super::settings::Debuginfod;
use super::{Event, Session};
use crate::fetch::{Cache, End, Job, Limits, Request, Unreachable, parse_urls};
use crate::symbols::Lacking;
use crate::target::LoadedModule;

/// How often a person who waits is told how far it is, and one who does not.
const BETWEEN_NOTICES: Duration = Duration::from_secs(1);
const BETWEEN_NOTICES_ASIDE: Duration = Duration::from_secs(10);

/// Debug info that was missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DebugInfo {
    /// The file that lacks it, by its path.
    pub file: String,
    /// The build id in hexadecimal digits.
    pub build_id: String,
    /// What became of it.
    pub state: FetchState,
    /// Its length once it is fetched, and how much has come before.
    pub bytes: u64,
    /// Why it could not be fetched.
    pub why: Option<String>,
}

/// What became of debug info that was missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FetchState {
    /// It is to be fetched as soon as that may be.
    Waiting,
    /// It is on its way.
    Fetching,
    /// It is here.
    Fetched,
    /// No server has it.
    NotThere,
    /// It could not be had.
    Failed,
    /// A person has called it off.
    CalledOff,
}

impl FetchState {
    fn is_open(self) -> bool {
        matches!(self, FetchState::Waiting | FetchState::Fetching)
    }
}

/// What a session remembers of it.
#[derive(Default)]
pub(super) struct Fetching {
    known: Vec<DebugInfo>,
    running: Option<Running>,
    /// What a person has answered.
    consent: Option<bool>,
    told: Vec<WaitsFor>,
    /// Whether somebody waits for it.
    foreground: bool,
    unreachable: Unreachable,
}

struct Running {
    build_id: String,
    job: Job,
    next_notice: Instant,
}

impl Fetching {
    fn of(&mut self, build_id: &str) -> Option<&mut DebugInfo> {
        self.known.iter_mut().find(|known| known.build_id == build_id)
    }

    fn note(&mut self, lacking: Lacking) {
        if self.of(&lacking.build_id).is_none() {
            let Lacking { build_id, file } = lacking;
            self.known.push(DebugInfo { file, build_id, state: FetchState::Waiting, bytes: 0, why: None });
        }
    }

    fn files(&self, state: FetchState) -> Vec<String> {
        self.known.iter().filter(|known| known.state == state).map(|known| known.file.clone()).collect()
    }

    fn next(&self) -> Option<String> {
        self.known.iter().find(|known| known.state == FetchState::Waiting).map(|known| known.build_id.clone())
    }

    /// Ends what is on its way; it waits again.
    pub(super) fn stop(&mut self) {
        if let Some(running) = self.running.take()
            && let Some(known) = self.of(&running.build_id)
        {
            known.state = FetchState::Waiting;
        }
    }

    fn finish(&mut self, build_id: &str, end: End) -> Option<FetchNews> {
        let known = self.of(build_id)?;
        let (file, build_id) = (known.file.clone(), known.build_id.clone());
        match end {
            End::Fetched { bytes, server } => {
                (known.state, known.bytes) = (FetchState::Fetched, bytes);
                Some(FetchNews::DebugInfoFetched { file, build_id, bytes, server })
            }
            End::NotThere => {
                known.state = FetchState::NotThere;
                None
            }
            End::Failed(why) => {
                let why = without_os_numbers(&why);
                (known.state, known.why) = (FetchState::Failed, Some(why.clone()));
                Some(FetchNews::DebugInfoFailed { file, build_id, why })
            }
        }
    }
}

impl Session {
    /// The servers that are asked.
    pub fn debuginfod_servers(&self) -> Vec<String> {
        parse_urls(&self.settings.debuginfod_urls).unwrap_or_default()
    }

    fn may_fetch(&self) -> bool {
        match self.settings.debuginfod {
            Debuginfod::On => true,
            Debuginfod::Ask => self.fetching.consent == Some(true),
            Debuginfod::Off => false,
        }
    }

    /// Takes note of what was looked for in vain by the last command, and tells once why it is not fetched, if it is not.
    pub(super) fn mind_debug_info(&mut self) {
        let mode = self.settings.debuginfod;
        let no_servers = self.settings.debuginfod_urls.is_empty();
        if mode == Debuginfod::Off {
            return self.fetching.stop();
        }
        if no_servers && mode != Debuginfod::On {
            return;
        }
        self.note_lacking();
        let files = self.fetching.files(FetchState::Waiting);
        let answered = self.fetching.consent.is_some();
        let waits_for = match self.may_fetch() {
            true if no_servers => WaitsFor::Server,
            true if self.any_held() => WaitsFor::HeldProcess,
            false if !answered && !self.interactive => WaitsFor::Setting,
            false if !answered && self.any_held() => WaitsFor::HeldProcessAndAnswer,
            _ => return,
        };
        if !files.is_empty() && !self.fetching.told.contains(&waits_for) {
            self.fetching.told.push(waits_for);
            self.tell(Event::DebugInfo(FetchNews::DebugInfoWanted { files, waits_for }));
        }
    }

    fn note_lacking(&mut self) {
        for lacking in self.symbols.lacking() {
            self.fetching.note(lacking);
        }
    }

    /// Before the tracer thread sleeps: while it does, and no process is held, the network may be used.
    pub(super) fn allow_fetch(&mut self) {
        if !self.may_fetch() || self.any_held() {
            return;
        }
        if self.fetching.running.is_none()
            && let Some(build_id) = self.fetching.next()
        {
            self.begin_fetch(build_id);
        }
        if let Some(running) = &self.fetching.running {
            running.job.allow(true);
        }
    }

    /// When it wakes: what has come may be a stop.
    pub(super) fn forbid_fetch(&self) {
        if let Some(running) = &self.fetching.running {
            running.job.allow(false);
        }
    }

    fn begin_fetch(&mut self, build_id: String) {
        let servers = self.debuginfod_servers();
        let Some(known) = self.fetching.of(&build_id).filter(|_| !servers.is_empty()) else { return };
        known.state = FetchState::Fetching;
        let bell = self.poller.bell();
        let job = Cache::of_environment().context("there is no folder for it (HOME is not set)").and_then(|cache| {
            let (unreachable, limits) = (self.fetching.unreachable.clone(), Limits::of_environment());
            let request = Request { build_id: build_id.clone(), servers, cache, limits, unreachable };
            Job::start(request, move || bell.ring()).context("cannot start a thread")
        });
        match job {
            Ok(job) => {
                self.fetching.running = Some(Running { build_id, job, next_notice: Instant::now() + BETWEEN_NOTICES });
            }
            Err(error) => self.tell_fetched(&build_id, End::Failed(format!("{error:#}"))),
        }
    }

    /// Takes in how far the job is, or its end: the files that lacked it are read anew when they are next asked.
    pub(super) fn take_in_fetched(&mut self) {
        let Some(running) = &mut self.fetching.running else { return };
        let (build_id, (bytes, total_bytes)) = (running.build_id.clone(), running.job.progress());
        if let Some(end) = running.job.end() {
            self.fetching.running = None;
            return self.tell_fetched(&build_id, end);
        }
        let due = running.next_notice <= Instant::now();
        if due {
            let between = if self.fetching.foreground { BETWEEN_NOTICES } else { BETWEEN_NOTICES_ASIDE };
            running.next_notice = Instant::now() + between;
        }
        let Some(known) = self.fetching.of(&build_id) else { return };
        known.bytes = bytes;
        let file = known.file.clone();
        if due && self.interactive {
            self.tell(Event::DebugInfo(FetchNews::DebugInfoFetching { file, build_id, bytes, total_bytes }));
        }
    }

    /// When a person is to be told how far it is, although nothing has come.
    pub(super) fn next_fetch_notice(&self) -> Option<Instant> {
        let running = self.fetching.running.as_ref().filter(|_| self.interactive && !self.any_held())?;
        Some(running.next_notice)
    }

    fn tell_fetched(&mut self, build_id: &str, end: End) {
        if matches!(end, End::Fetched { .. }) {
            self.symbols.forget_lacking(build_id);
        }
        if let Some(news) = self.fetching.finish(build_id, end) {
            self.tell(Event::DebugInfo(news));
        }
    }

    /// What a person has to be asked before anything is fetched, if it is time to ask: once in a session.
    pub fn debug_info_question(&self) -> Option<String> {
        let files = self.fetching.files(FetchState::Waiting);
        if files.is_empty() || self.fetching.consent.is_some() || !self.settings.confirm {
            return None;
        }
        self.consent_question(&files)
    }

    /// The same for a person who has asked for it by a command.
    pub fn fetch_question(&self) -> Option<String> {
        self.consent_question(&[])
    }

    fn consent_question(&self, files: &[String]) -> Option<String> {
        let servers = self.debuginfod_servers();
        let wanted = self.settings.debuginfod == Debuginfod::Ask && self.fetching.consent != Some(true);
        if !wanted || servers.is_empty() || self.any_held() {
            return None;
        }
        let of = if files.is_empty() { String::new() } else { format!(" of {}", files_words(files)) };
        Some(format!("fetch debug info{of} from {}, and whatever else is missing in this session", servers.join(", ")))
    }

    /// The answer.
    pub fn answer_debug_info(&mut self, agreed: bool) {
        self.fetching.consent = Some(agreed);
    }

    /// All debug info that was missing, with what the files of the process lack.
    pub fn debug_info(&mut self) -> Vec<DebugInfo> {
        self.seek_lacking();
        self.fetching.known.clone()
    }

    /// Asks every file of the process, and then all files that were asked before.
    fn seek_lacking(&mut self) {
        let locations = self.locations();
        for (module, _) in locations.modules().iter().filter_map(LoadedModule::module) {
            module.seek_debug_info();
        }
        self.note_lacking();
    }

    /// Fetches debug info of the files that `wants` chooses, and waits for it. What is told of each comes as events.
    pub fn fetch_debug_info(&mut self, wants: impl Fn(&DebugInfo) -> bool) -> anyhow::Result<Vec<DebugInfo>> {
        self.check_fetch()?;
        self.seek_lacking();
        let mut asked: Vec<String> = Vec::new();
        // Debug info may name a file that it shares with others, which is known when it is here.
        const MOST_ROUNDS: usize = 2;
        for _ in 0..MOST_ROUNDS {
            let files: Vec<String> =
                self.fetching.known.iter().filter(|one| wants(one)).map(|one| one.file.clone()).collect();
            let open = |one: &DebugInfo| {
                files.contains(&one.file) && !matches!(one.state, FetchState::Fetched | FetchState::NotThere)
            };
            let chosen: Vec<String> = self
                .fetching
                .known
                .iter()
                .filter(|one| open(one) && !asked.contains(&one.build_id))
                .map(|one| one.build_id.clone())
                .collect();
            if chosen.is_empty() {
                break;
            }
            self.fetch_in_foreground(&chosen)?;
            asked.extend(chosen);
            self.seek_lacking();
        }
        Ok(self.fetching.known.iter().filter(|one| wants(one) || asked.contains(&one.build_id)).cloned().collect())
    }

    fn check_fetch(&mut self) -> Result<(), Failure> {
        if let Some(held) = self.processes().into_iter().find(|one| one.state == super::RunState::Stopped) {
            let message = format!("fetch: process {} is held, and nothing is fetched meanwhile", held.pid);
            return Err(Failure::hinted(message, "continue & lets it run, detach lets it go"));
        }
        if self.debuginfod_servers().is_empty() {
            return Err(Failure::hinted(
                "fetch: no debuginfod server is known",
                "set debuginfod-urls URL, or DEBUGINFOD_URLS",
            ));
        }
        match self.settings.debuginfod {
            Debuginfod::Off => Err(Failure::hinted("fetch: debuginfod is off", "set debuginfod on")),
            Debuginfod::Ask if !self.may_fetch() && !self.interactive => Err(Failure::hinted(
                "fetch: nobody is there to be asked whether anything may be fetched",
                "set debuginfod on",
            )),
            // A person at the prompt was asked before this runs.
            Debuginfod::Ask => {
                self.fetching.consent = Some(true);
                Ok(())
            }
            Debuginfod::On => Ok(()),
        }
    }

    fn fetch_in_foreground(&mut self, chosen: &[String]) -> anyhow::Result<()> {
        // What failed is tried again, and first.
        self.fetching.unreachable.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
        for known in self.fetching.known.iter_mut().filter(|known| chosen.contains(&known.build_id)) {
            if known.state != FetchState::Fetching {
                (known.state, known.why) = (FetchState::Waiting, None);
            }
        }
        self.fetching.known.sort_by_key(|known| !chosen.contains(&known.build_id));
        self.fetching.foreground = true;
        let waited = self.wait_for_fetch(chosen);
        self.fetching.foreground = false;
        if waited.as_ref().is_err_and(|error| error.is::<Interrupted>()) {
            self.fetching.stop();
            let open = |known: &&mut DebugInfo| chosen.contains(&known.build_id) && known.state.is_open();
            self.fetching.known.iter_mut().filter(open).for_each(|known| known.state = FetchState::CalledOff);
        }
        waited
    }

    fn wait_for_fetch(&mut self, chosen: &[String]) -> anyhow::Result<()> {
        let is_open = |known: &DebugInfo| chosen.contains(&known.build_id) && known.state.is_open();
        while self.fetching.known.iter().any(is_open) {
            if self.any_held() {
                let message = "fetch: a process has stopped, and nothing is fetched while it is held";
                return Err(Failure::hinted(
                    message,
                    "the rest is fetched when it runs on; debuginfo shows how far it is",
                )
                .into());
            }
            self.attend(None)?;
        }
        Ok(())
    }
}
