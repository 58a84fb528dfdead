//! What attaching costs: medians, ratios and goals, as text.

use crate::report::{median, ms, ratio};
use crate::target::{Language, Target};
use crate::tool::Tool;
use anyhow::Result;
use std::time::Duration;

/// Start-up to the first prompt.
const PROMPT_GOAL: Duration = Duration::from_millis(5);

/// One run of one tool.
pub struct Measurement {
    pub wall: Duration,
    pub pause: Duration,
    pub memory_kib: u64,
    pub phases: Option<Phases>,
}

/// The bare loop by its own clock: without starting and ending a process.
#[derive(Clone, Copy)]
pub struct Phases {
    /// Seize, interrupt, wait, detach.
    pub all: Duration,
    /// From the first interrupt to the last detach.
    pub held: Duration,
}

/// All runs at one size.
pub struct Rows {
    size: u32,
    language: Language,
    threads: u64,
    usual: Duration,
    rows: Vec<(Tool, Vec<Measurement>)>,
    /// Those that did not do their work, and were not run again.
    pub failed: Vec<Tool>,
}

/// The medians of one tool.
struct Medians {
    wall: Duration,
    pause: Duration,
    memory_kib: u64,
    phases: Option<Phases>,
    runs: usize,
}

/// A figure of godbg's beside what it may be.
struct Goal {
    what: &'static str,
    unit: &'static str,
    is: f64,
    at_most: f64,
    /// What the same figure comes to when nothing is run on the target.
    noise: f64,
}

impl Goal {
    fn met(&self) -> bool {
        self.is <= self.at_most
    }

    fn verdict(&self) -> &'static str {
        match self.met() {
            true => "met",
            false if self.is <= self.at_most + self.noise => "MISSED by less than the noise",
            false => "MISSED",
        }
    }
}

impl Rows {
    pub fn new(target: &Target, language: Language, size: u32, tools: &[Tool]) -> Result<Self> {
        let rows = tools.iter().map(|&tool| (tool, Vec::new())).collect();
        Ok(Self { size, language, threads: target.field(16)?, usual: target.usual, rows, failed: Vec::new() })
    }

    pub fn add(&mut self, tool: Tool, measurement: Measurement) {
        let row = self.rows.iter_mut().find(|row| row.0 == tool);
        row.expect("only the tools that Rows was made for are measured").1.push(measurement);
    }

    fn medians(&self, tool: Tool) -> Option<Medians> {
        let runs = &self.rows.iter().find(|row| row.0 == tool)?.1;
        let phases =
            |figure: fn(&Phases) -> Duration| median(runs.iter().filter_map(|run| run.phases.as_ref().map(figure)));
        let phases = phases(|phases| phases.all).zip(phases(|phases| phases.held));
        Some(Medians {
            wall: median(runs.iter().map(|run| run.wall))?,
            pause: median(runs.iter().map(|run| run.pause))?,
            memory_kib: median(runs.iter().map(|run| run.memory_kib))?,
            phases: phases.map(|(all, held)| Phases { all, held }),
            runs: runs.len(),
        })
    }

    /// The wall goal is over the bare loop's own clock: godbg's start and end are in the 5 ms.
    fn goals(&self) -> Vec<Goal> {
        let (Some(godbg), Some(bare)) = (self.medians(Tool::Godbg), self.medians(Tool::Bare)) else {
            return Vec::new();
        };
        let all = bare.phases.map_or(bare.wall, |phases| phases.all);
        let noise = self.medians(Tool::Nothing).map_or(0.0, |nothing| ms(nothing.pause));
        let memory_goal = 10.0 + self.threads as f64 / 1024.0;
        vec![
            Goal { what: "wall", unit: "ms", is: ms(godbg.wall), at_most: 1.5 * ms(all) + 5.0, noise: 0.0 },
            Goal { what: "pause", unit: "ms", is: ms(godbg.pause), at_most: 1.3 * ms(bare.pause), noise },
            Goal {
                what: "memory",
                unit: "MiB",
                is: godbg.memory_kib as f64 / 1024.0,
                at_most: memory_goal,
                noise: 0.0,
            },
        ]
    }

    pub fn print(&self) {
        let usual = ms(self.usual);
        println!("\n{}, {} threads (usual beat {usual:.2} ms)", self.language.name(), self.threads);
        println!("  tool      runs    wall ms   × bare   pause ms   × bare  memory MiB");
        let bare = self.medians(Tool::Bare);
        for (tool, _) in &self.rows {
            let Some(medians) = self.medians(*tool) else { continue };
            println!(
                "  {:<8}  {:>4}  {:>9.2}  {:>7}  {:>9.2}  {:>7}  {:>10.1}{}",
                tool.name(),
                medians.runs,
                ms(medians.wall),
                ratio(ms(medians.wall), bare.as_ref().map(|bare| ms(bare.wall))),
                ms(medians.pause),
                ratio(ms(medians.pause), bare.as_ref().map(|bare| ms(bare.pause))),
                medians.memory_kib as f64 / 1024.0,
                medians.phases.map(own_clock).unwrap_or_default(),
            );
        }
        for goal in self.goals() {
            let Goal { what, unit, is, at_most, .. } = goal;
            println!("  goal: {what} {is:.2} {unit}, at most {at_most:.2}: {}", goal.verdict());
        }
    }
}

/// godbg at all sizes, one line each.
pub fn print_summary(all: &[Rows]) {
    let judged: Vec<(&Rows, Vec<Goal>)> =
        all.iter().map(|rows| (rows, rows.goals())).filter(|(_, goals)| !goals.is_empty()).collect();
    if judged.is_empty() {
        return;
    }
    println!("\ngodbg against its goals (wall ≤ 1.5 × the bare loop's phases + 5 ms, pause ≤ 1.3 × the bare loop's,");
    println!("memory ≤ 10 MiB + 1 KiB a thread)");
    for (rows, goals) in &judged {
        let verdicts: Vec<String> = goals
            .iter()
            .map(|goal| {
                let Goal { what, unit, is, at_most, .. } = goal;
                format!("{what} {is:>7.2} of {at_most:>7.2} {unit} {:<6}", if goal.met() { "met" } else { "MISSED" })
            })
            .collect();
        println!("  {:<10} {:>6} threads: {}", rows.language.name(), rows.size, verdicts.join("  "));
    }
    let goals: Vec<&Goal> = judged.iter().flat_map(|(_, goals)| goals).collect();
    println!("  {} of {} met", goals.iter().filter(|goal| goal.met()).count(), goals.len());
}

pub fn print_startup(times: &[(Tool, Vec<Duration>)]) {
    println!("\nStart-up to the first prompt (nothing: /bin/true from start to end)");
    println!("  tool      runs  median ms");
    for (tool, times) in times {
        let Some(median) = median(times.iter().copied()) else { continue };
        let goal = if *tool == Tool::Godbg {
            format!(
                "   goal: at most {:.0} ms: {}",
                ms(PROMPT_GOAL),
                if median <= PROMPT_GOAL { "met" } else { "MISSED" }
            )
        } else {
            String::new()
        };
        println!("  {:<8}  {:>4}  {:>9.2}{goal}", tool.name(), times.len(), ms(median));
    }
}

fn own_clock(phases: Phases) -> String {
    format!("   (by its own clock: four phases {:.2} ms, held {:.2} ms)", ms(phases.all), ms(phases.held))
}
