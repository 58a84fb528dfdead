//! Looks breakpoints' locations up again for the target layer, when files were mapped or a program was executed: without any
//! thread's registers and without the session. Decides nothing.

use super::find::module_offset;
use super::spec::Spec;
use super::{Locations, file_name};
use crate::addr::{Pid, RuntimeAddr};
use crate::symbols::Store;
use crate::target::{Locate, Mappings, Modules};

/// Finds locations by the files that a session has read.
#[derive(Debug)]
pub struct Follower(pub Store);

impl Follower {
    fn locations(&self, process: Pid, mappings: &Mappings) -> Locations {
        let modules = Modules::of(process, mappings, &self.0);
        Locations { mappings: mappings.clone(), modules, program: None }
    }
}

impl Locate for Follower {
    fn addresses(&self, process: Pid, mappings: &Mappings, location: &str) -> Vec<RuntimeAddr> {
        let locations = self.locations(process, mappings);
        if let Some(address) = module_offset(&locations, location.trim().trim_start_matches('*')) {
            return vec![address];
        }
        let Some(spec) = Spec::parse(location) else { return Vec::new() };
        let is_text = |addr: &RuntimeAddr| mappings.find(*addr).is_some_and(|mapping| mapping.execute);
        let mut found: Vec<RuntimeAddr> =
            locations.spots(&spec).into_iter().map(|spot| spot.address).filter(is_text).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    fn linker_hook(&self, process: Pid, mappings: &Mappings) -> Option<RuntimeAddr> {
        let locations = self.locations(process, mappings);
        // ld-linux-x86-64.so.2, ld-2.31.so, ld-musl-x86_64.so.1.
        let linker = locations.modules.iter().find(|module| file_name(module.path()).starts_with("ld-"))?;
        let (symbols, bias) = linker.module()?;
        symbols.symbols_named("_dl_debug_state").first().map(|symbol| bias.runtime(symbol.start))
    }
}
