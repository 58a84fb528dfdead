//! What `set` and `show` know. Each setting has a name, a value as text, and a line of help.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use super::duration;
use super::failure::Failure;
use super::sources;
use crate::fetch;
use crate::target::FollowFork;
use crate::target::disasm::Flavor;

/// When to use colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The values in force.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A process held this long since the last command is let run by itself.
    pub leash: Option<Duration>,
    /// Whether `kill` and `quit` ask on a terminal.
    pub confirm: bool,
    /// When to use colour.
    pub color: Color,
    /// Which process stays when one makes a child.
    pub follow_fork: FollowFork,
    /// Whether all processes of the session run and stop together.
    pub schedule_multiple: bool,
    /// How many columns listings may take; the terminal's own if none.
    pub width: Option<u16>,
    /// How instructions are written.
    pub flavor: Flavor,
    /// Which threads run when one is to run on.
    pub locking: Locking,
    /// How much of each stack a short stop copies, bytes; as seems good if none.
    pub stack_copy: Option<u64>,
    /// What becomes of a breakpoint whose location nothing has.
    pub pending: Pending,
    /// How many lines `list` shows.
    pub list_size: u32,
    /// Which folders of sources are looked for elsewhere: from, to.
    pub substitutes: Vec<(String, String)>,
    /// Folders with separate debug information, by colons.
    pub debug_folders: String,
    /// Whether missing debug information is fetched over the network.
    pub debuginfod: Debuginfod,
    /// The servers that it is fetched from, by blanks.
    pub debuginfod_urls: String,
}

/// Whether missing debug information is fetched, gdb's `debuginfod enabled`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum Debuginfod {
    /// It is.
    On,
    /// It is if a person says so, who is asked once; in a script it is not.
    #[default]
    Ask,
    /// It is not, and what was fetched before is not used.
    Off,
}

/// What becomes of a breakpoint whose location nothing has, gdb's `breakpoint pending`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum Pending {
    /// It waits for a library that has it.
    On,
    /// It waits if `break -p` says so; else it is an error.
    #[default]
    Auto,
    /// As `auto`.
    Off,
}

/// Which threads are held while one goes on, gdb's `scheduler-locking`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum Locking {
    /// All run, while steps are made too.
    Off,
    /// While a thread makes single steps the others are held.
    #[default]
    Step,
    /// Only the selected thread runs, whatever lets it.
    On,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            leash: None,
            confirm: true,
            follow_fork: FollowFork::Parent,
            schedule_multiple: false,
            color: Color::Auto,
            width: None,
            flavor: Flavor::Att,
            locking: Locking::Step,
            stack_copy: None,
            pending: Pending::Auto,
            list_size: 10,
            substitutes: Vec::new(),
            debug_folders: "/usr/lib/debug".into(),
            debuginfod: Debuginfod::Ask,
            debuginfod_urls: fetch::of_environment(),
        }
    }
}

impl Settings {
    /// Where libdebuginfod keeps what was fetched, if that is used.
    pub(super) fn debuginfod_cache(&self) -> Option<PathBuf> {
        let cache = fetch::Cache::of_environment().filter(|_| self.debuginfod != Debuginfod::Off)?;
        Some(cache.folder().to_owned())
    }
}

/// A setting's name and what it is for.
pub struct Setting {
    /// The name behind `set`.
    pub name: &'static str,
    /// What may stand behind the name.
    pub values: &'static str,
    /// One line of help.
    pub summary: &'static str,
    get: fn(&Settings) -> String,
    set: fn(&mut Settings, &str) -> Option<()>,
}

/// All settings, in the order of `show`.
pub const ALL: &[Setting] = &[
    Setting {
        name: "leash",
        values: "DURATION|off",
        summary: "a process held that long since the last command is let run by itself",
        get: |settings| settings.leash.map_or_else(|| "off".into(), duration::show),
        set: |settings, text| {
            settings.leash = match text {
                "off" | "0" => None,
                text => Some(duration::parse(text).ok()?),
            };
            Some(())
        },
    },
    Setting {
        name: "confirm",
        values: "on|off",
        summary: "whether kill and quit ask on a terminal",
        get: |settings| on_off(settings.confirm).into(),
        set: |settings, text| parse_on_off(text).map(|value| settings.confirm = value),
    },
    Setting {
        name: "color",
        values: "auto|always|never",
        summary: "when to use colour",
        get: |settings| format!("{:?}", settings.color).to_lowercase(),
        set: |settings, text| Color::from_str(text, false).ok().map(|value| settings.color = value),
    },
    Setting {
        name: "scheduler-locking",
        values: "on|step|off",
        summary: "which threads are held while one goes on: all others, in steps only, none",
        get: |settings| format!("{:?}", settings.locking).to_lowercase(),
        set: |settings, text| Locking::from_str(text, false).ok().map(|value| settings.locking = value),
    },
    Setting {
        name: "follow-fork",
        values: "parent|child|both",
        summary: "which process stays with godbg when one makes a child",
        get: |settings| format!("{:?}", settings.follow_fork).to_lowercase(),
        set: |settings, text| {
            settings.follow_fork = match text {
                "parent" => FollowFork::Parent,
                "child" => FollowFork::Child,
                "both" => FollowFork::Both,
                _ => return None,
            };
            Some(())
        },
    },
    Setting {
        name: "schedule-multiple",
        values: "on|off",
        summary: "whether all processes of the session run and stop together",
        get: |settings| on_off(settings.schedule_multiple).into(),
        set: |settings, text| parse_on_off(text).map(|value| settings.schedule_multiple = value),
    },
    Setting {
        name: "width",
        values: "COLUMNS|auto",
        summary: "how many columns listings may take",
        get: |settings| settings.width.map_or_else(|| "auto".into(), |width| width.to_string()),
        set: |settings, text| {
            settings.width = match text {
                "auto" => None,
                text => Some(text.parse().ok().filter(|width| *width >= 20)?),
            };
            Some(())
        },
    },
    Setting {
        name: "stack-copy",
        values: "KIB|auto",
        summary: "how much of each stack is copied while a running process is held for its stacks, KiB",
        get: |settings| settings.stack_copy.map_or_else(|| "auto".into(), |bytes| (bytes >> 10).to_string()),
        set: |settings, text| {
            settings.stack_copy = match text {
                "auto" => None,
                text => Some(text.parse::<u64>().ok().filter(|kib| (1..=1 << 20).contains(kib))? << 10),
            };
            Some(())
        },
    },
    Setting {
        name: "disassembly",
        values: "att|intel",
        summary: "how instructions are written",
        get: |settings| if settings.flavor == Flavor::Intel { "intel".into() } else { "att".into() },
        set: |settings, text| {
            settings.flavor = match text {
                "att" => Flavor::Att,
                "intel" => Flavor::Intel,
                _ => return None,
            };
            Some(())
        },
    },
    Setting {
        name: "breakpoint-pending",
        values: "on|auto|off",
        summary: "whether a breakpoint waits for a library that has what it names (auto: with break -p)",
        get: |settings| format!("{:?}", settings.pending).to_lowercase(),
        set: |settings, text| Pending::from_str(text, false).ok().map(|value| settings.pending = value),
    },
    Setting {
        name: "listsize",
        values: "LINES",
        summary: "how many lines of source list shows",
        get: |settings| settings.list_size.to_string(),
        set: |settings, text| {
            settings.list_size = text.parse().ok().filter(|lines| (1..=10_000).contains(lines))?;
            Some(())
        },
    },
    Setting {
        name: "substitute-path",
        values: "FROM TO|off",
        summary: "where sources are whose recorded path begins with FROM",
        get: |settings| sources::show_substitutes(&settings.substitutes),
        set: |settings, text| sources::substitute(&mut settings.substitutes, text),
    },
    Setting {
        name: "debug-file-directory",
        values: "FOLDER[:FOLDER…]",
        summary: "where separate debug information is looked for",
        get: |settings| settings.debug_folders.clone(),
        set: |settings, text| {
            let absolute = text.split(':').all(|folder| folder.starts_with('/'));
            settings.debug_folders = absolute.then(|| text.to_owned())?;
            Some(())
        },
    },
    Setting {
        name: "debuginfod",
        values: "on|off|ask",
        summary: "whether missing debug information is fetched from debuginfod servers (ask: once, at the prompt)",
        get: |settings| format!("{:?}", settings.debuginfod).to_lowercase(),
        set: |settings, text| {
            settings.debuginfod = match parse_on_off(text) {
                Some(true) => Debuginfod::On,
                Some(false) => Debuginfod::Off,
                None => Debuginfod::from_str(text, false).ok()?,
            };
            Some(())
        },
    },
    Setting {
        name: "debuginfod-urls",
        values: "URL…|none",
        summary: "the debuginfod servers; those of DEBUGINFOD_URLS at first",
        get: |settings| Some(settings.debuginfod_urls.clone()).filter(|urls| !urls.is_empty()).unwrap_or("none".into()),
        set: |settings, text| {
            let urls = if text == "none" { Vec::new() } else { fetch::parse_urls(&shlex::split(text)?.join(" "))? };
            settings.debuginfod_urls = urls.join(" ");
            Some(())
        },
    },
];

/// gdb's other word for `follow-fork both`, which `show` does not list.
const DETACH_ON_FORK: &Setting = &Setting {
    name: "detach-on-fork",
    values: "on|off",
    summary: "whether only one of parent and child stays with godbg (off: follow-fork both)",
    get: |settings| on_off(settings.follow_fork != FollowFork::Both).into(),
    set: |settings, text| {
        settings.follow_fork = match (parse_on_off(text)?, settings.follow_fork) {
            (false, _) => FollowFork::Both,
            (true, FollowFork::Both) => FollowFork::Parent,
            (true, follow) => follow,
        };
        Some(())
    },
};
/// gdb's names for settings that have another one here.
const ALIASES: &[(&str, &str)] =
    &[("disassembly-flavor", "disassembly"), ("follow-fork-mode", "follow-fork"), ("debuginfod-enabled", "debuginfod")];

fn on_off(value: bool) -> &'static str {
    if value { "on" } else { "off" }
}

fn parse_on_off(text: &str) -> Option<bool> {
    match text {
        "on" | "yes" | "1" => Some(true),
        "off" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// Finds a setting by its name.
pub fn find(name: &str) -> Result<&'static Setting, Failure> {
    let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, own)| own);
    let names: Vec<&str> = ALL.iter().map(|setting| setting.name).collect();
    let hint = format!("the settings are {}", names.join(", "));
    let short: String = name.chars().take(60).collect();
    if name == DETACH_ON_FORK.name {
        return Ok(DETACH_ON_FORK);
    }
    ALL.iter().find(|setting| setting.name == name).ok_or(Failure::hinted(format!("no such setting: {short}"), hint))
}

impl Setting {
    /// Its value as text.
    pub fn get(&self, settings: &Settings) -> String {
        (self.get)(settings)
    }

    /// Gives it a value. The old one stays where the text is not a value.
    pub fn set(&self, settings: &mut Settings, text: &str) -> Result<(), Failure> {
        let short: String = text.chars().take(60).collect();
        (self.set)(settings, text).ok_or_else(|| {
            Failure::hinted(
                format!("{short:?} is no value of {}", self.name),
                format!("usage: set {} {}", self.name, self.values),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_show_prints_set_takes() {
        for setting in ALL {
            let mut settings = Settings::default();
            let text = setting.get(&settings);
            setting.set(&mut settings, &text).expect("its own value");
            assert_eq!(setting.get(&settings), text);
            assert!(setting.set(&mut settings, "no such value").is_err());
        }
        let mut settings = Settings::default();
        find("leash").expect("a setting").set(&mut settings, "1.5s").expect("a duration");
        assert_eq!(settings.leash, Some(Duration::from_millis(1500)));
        assert!(find("nothing").is_err());
    }
}
