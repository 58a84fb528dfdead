//! Why the kernel does not let godbg trace a process: the facts that `__ptrace_may_access` (kernel/ptrace.c) and the
//! security modules decide by are read one by one, and a pure function names the first that refuses. Nothing is guessed;
//! where no fact explains a refusal, that is what is said. Refuses to touch the target.

use std::fs;
use std::os::unix::fs::MetadataExt;

use procfs::process::Status;

use super::{proc, ptrace};
use crate::addr::Pid;

/// CAP_SYS_PTRACE (capabilities(7)).
const CAP_SYS_PTRACE: u64 = 1 << 19;

/// Which rule refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// A seccomp filter on godbg itself.
    #[error("a seccomp filter on godbg forbids ptrace")]
    Seccomp,
    /// The real, effective or saved ids differ from ours, and we lack CAP_SYS_PTRACE.
    #[error("it belongs to {theirs} and godbg runs as {ours} without CAP_SYS_PTRACE")]
    OtherUser {
        /// The user (or user and group) that the target runs as.
        theirs: String,
        /// The user that godbg runs as.
        ours: String,
    },
    /// `prctl(PR_SET_DUMPABLE, 0)`, or a program that changed its user or whose file may not be read.
    #[error(
        "it is not dumpable (prctl(PR_SET_DUMPABLE), set-user-id or unreadable program) and godbg lacks CAP_SYS_PTRACE"
    )]
    NotDumpable,
    /// It lives in another user namespace, over which godbg has no CAP_SYS_PTRACE.
    #[error("it is in another user namespace, in which godbg has no CAP_SYS_PTRACE")]
    UserNamespace,
    /// The target may do more than godbg (`cap_ptrace_access_check`, security/commoncap.c).
    #[error("it has capabilities that godbg lacks, and godbg has no CAP_SYS_PTRACE")]
    MoreCapable,
    /// Yama, scope 1: only descendants, or who was named by prctl(PR_SET_PTRACER).
    #[error("Yama allows tracing of one's own children only (kernel.yama.ptrace_scope is 1)")]
    YamaRestricted,
    /// Yama, scope 2.
    #[error("Yama allows tracing with CAP_SYS_PTRACE only (kernel.yama.ptrace_scope is 2)")]
    YamaAdmin,
    /// Yama, scope 3.
    #[error("Yama forbids all tracing until the next boot (kernel.yama.ptrace_scope is 3)")]
    YamaNone,
    /// Another security module, with its label for the target where it tells.
    #[error("a security module refuses ({label})")]
    SecurityModule {
        /// The target's label.
        label: String,
    },
    /// None of the known rules explains it.
    #[error("the kernel refuses (EPERM), and no rule that godbg can check explains it")]
    Unknown,
}

impl Denial {
    /// What would allow it.
    pub fn hint(&self) -> &'static str {
        const GIVE: &str = "give godbg CAP_SYS_PTRACE (in a container: --cap-add SYS_PTRACE)";
        match self {
            // To become root helps nobody who is.
            Denial::OtherUser { .. } | Denial::NotDumpable | Denial::YamaRestricted | Denial::YamaAdmin
                if nix::unistd::geteuid().is_root() =>
            {
                GIVE
            }
            Denial::Seccomp => {
                "run godbg outside the sandbox; in a container, with a seccomp profile that allows ptrace"
            }
            Denial::OtherUser { .. } => "run godbg as that user or as root (sudo godbg), or give it CAP_SYS_PTRACE",
            Denial::NotDumpable => "run godbg as root (sudo godbg) or give it CAP_SYS_PTRACE",
            Denial::UserNamespace => {
                "run godbg as root of the host, or inside that namespace (nsenter --user --target PID)"
            }
            Denial::MoreCapable => GIVE,
            Denial::YamaRestricted => "run godbg as root (sudo godbg), or sysctl kernel.yama.ptrace_scope=0",
            Denial::YamaAdmin => "run godbg as root (sudo godbg) or give it CAP_SYS_PTRACE",
            Denial::YamaNone => "it cannot be lowered on a running system: change kernel.yama.ptrace_scope and reboot",
            Denial::SecurityModule { .. } => {
                "look into the audit log (dmesg, ausearch) for the policy that forbids ptrace"
            }
            Denial::Unknown => "look at dmesg for a security module's message",
        }
    }
}

/// The facts that decide, as far as godbg may know them.
#[derive(Clone, Debug)]
pub struct Facts {
    ours: Credentials,
    theirs: Credentials,
    filtered: bool,
    dumpable: Option<bool>,
    other_user_namespace: Option<bool>,
    descendant: bool,
    yama_scope: Option<u8>,
    label: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Credentials {
    /// Real, effective and saved user id.
    uids: [u32; 3],
    /// Real, effective and saved group id.
    gids: [u32; 3],
    effective: u64,
    permitted: u64,
}

impl From<&Status> for Credentials {
    fn from(status: &Status) -> Credentials {
        Credentials {
            uids: [status.ruid, status.euid, status.suid],
            gids: [status.rgid, status.egid, status.sgid],
            effective: status.capeff,
            permitted: status.capprm,
        }
    }
}

/// Why tracing `pid` was refused with EPERM.
pub fn explain(pid: Pid) -> Denial {
    match Facts::gather(pid) {
        Some(facts) => facts.denial(),
        None => Denial::Unknown,
    }
}

/// Whether the kernel would let godbg trace this process now: opening its memory asks for exactly the same right
/// (`PTRACE_MODE_ATTACH_FSCREDS`, fs/proc/base.c) and changes nothing in the target.
pub fn is_allowed(pid: Pid) -> bool {
    !ptrace::is_filtered() && fs::File::open(format!("/proc/{pid}/mem")).is_ok()
}

impl Facts {
    fn gather(pid: Pid) -> Option<Facts> {
        let me = Pid(std::process::id() as i32);
        let theirs = Credentials::from(&proc::status(pid).ok()?);
        Some(Facts {
            ours: Credentials::from(&proc::status(me).ok()?),
            filtered: ptrace::is_filtered(),
            // A process that is not dumpable has its files in /proc owned by root (proc(5), proc_pid(5)). That tells
            // nothing of a process that runs as root itself.
            dumpable: fs::metadata(format!("/proc/{pid}/mem"))
                .ok()
                .filter(|_| theirs.uids[1] != 0)
                .map(|file| file.uid() == theirs.uids[1]),
            other_user_namespace: proc::namespace_differs(pid, "user"),
            descendant: is_descendant(pid, me),
            yama_scope: fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope")
                .ok()
                .and_then(|t| t.trim().parse().ok()),
            label: fs::read_to_string(format!("/proc/{pid}/attr/current"))
                .ok()
                .map(|label| label.trim_end_matches(['\0', '\n']).to_owned())
                .filter(|label| !label.is_empty() && label != "unconfined"),
            theirs,
        })
    }

    /// The first rule that refuses, in the kernel's order.
    fn denial(&self) -> Denial {
        let capable = self.ours.effective & CAP_SYS_PTRACE != 0;
        // A capability counts only over namespaces below one's own.
        let capable_there = capable && self.other_user_namespace != Some(true);
        let same_user = self.theirs.uids == [self.ours.uids[1]; 3] && self.theirs.gids == [self.ours.gids[1]; 3];
        if self.filtered {
            return Denial::Seccomp;
        }
        if !capable && !same_user {
            return Denial::OtherUser { theirs: name_of(&self.theirs), ours: name_of(&self.ours) };
        }
        if self.other_user_namespace == Some(true) && !same_user {
            return Denial::UserNamespace;
        }
        if !capable_there && self.dumpable == Some(false) {
            return Denial::NotDumpable;
        }
        if !capable_there && self.theirs.permitted & !self.ours.permitted != 0 {
            return Denial::MoreCapable;
        }
        match self.yama_scope {
            Some(3) => return Denial::YamaNone,
            Some(2) if !capable_there => return Denial::YamaAdmin,
            Some(1) if !capable_there && !self.descendant => return Denial::YamaRestricted,
            _ => {}
        }
        if self.other_user_namespace == Some(true) {
            return Denial::UserNamespace;
        }
        self.label.clone().map_or(Denial::Unknown, |label| Denial::SecurityModule { label })
    }
}

fn name_of(who: &Credentials) -> String {
    let name = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(who.uids[1])).ok().flatten();
    let user =
        name.map_or_else(|| format!("uid {}", who.uids[1]), |user| format!("{} (uid {})", user.name, who.uids[1]));
    if who.uids.iter().all(|uid| *uid == who.uids[1]) && who.gids.iter().all(|gid| *gid == who.gids[1]) {
        format!("{user}, gid {}", who.gids[1])
    } else {
        format!("{user}, of uids {:?} and gids {:?} (real, effective, saved)", who.uids, who.gids)
    }
}

/// Whether `pid` descends from `ancestor`. Bounded, because parents can change while we climb.
pub fn is_descendant(pid: Pid, ancestor: Pid) -> bool {
    let mut at = pid;
    for _ in 0..4096 {
        match proc::thread_stat(at, at.leader()) {
            Ok(stat) if stat.parent == ancestor => return true,
            Ok(stat) if stat.parent.0 > 0 => at = stat.parent,
            _ => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(uid: u32, capabilities: u64) -> Credentials {
        Credentials { uids: [uid; 3], gids: [uid; 3], effective: capabilities, permitted: capabilities }
    }

    /// Two ordinary processes of the same user, which nothing forbids.
    fn same_user() -> Facts {
        Facts {
            ours: user(1000, 0),
            theirs: user(1000, 0),
            filtered: false,
            dumpable: Some(true),
            other_user_namespace: Some(false),
            descendant: false,
            yama_scope: None,
            label: None,
        }
    }

    #[test]
    fn each_rule_is_named_by_its_own_fact() {
        let root = user(0, u64::MAX);
        let weak_root = user(0, !CAP_SYS_PTRACE);
        let table: Vec<(Facts, Denial)> = vec![
            (Facts { filtered: true, ..same_user() }, Denial::Seccomp),
            (Facts { dumpable: Some(false), ..same_user() }, Denial::NotDumpable),
            (Facts { theirs: user(1000, 1), ..same_user() }, Denial::MoreCapable),
            (Facts { ours: weak_root.clone(), theirs: root.clone(), ..same_user() }, Denial::MoreCapable),
            (Facts { yama_scope: Some(1), ..same_user() }, Denial::YamaRestricted),
            (Facts { yama_scope: Some(2), ..same_user() }, Denial::YamaAdmin),
            (Facts { yama_scope: Some(3), ours: root.clone(), ..same_user() }, Denial::YamaNone),
            (Facts { yama_scope: Some(1), descendant: true, ..same_user() }, Denial::Unknown),
            (Facts { yama_scope: Some(0), ..same_user() }, Denial::Unknown),
            (Facts { other_user_namespace: Some(true), ..same_user() }, Denial::UserNamespace),
            (Facts { label: Some("lxc".into()), ..same_user() }, Denial::SecurityModule { label: "lxc".into() }),
        ];
        for (facts, expected) in table {
            assert_eq!(facts.denial(), expected, "{facts:?}");
        }
        let other = Facts { ours: weak_root, ..same_user() }.denial();
        assert!(matches!(other, Denial::OtherUser { .. }), "{other:?}");
    }

    #[test]
    fn this_process_descends_from_its_parent() {
        let me = Pid(std::process::id() as i32);
        let parent = Pid(std::os::unix::process::parent_id() as i32);
        assert!(is_descendant(me, parent));
        assert!(!is_descendant(parent, me));
    }
}
