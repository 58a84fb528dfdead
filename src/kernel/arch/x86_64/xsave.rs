//! The XSAVE area as PTRACE_GETREGSET NT_X86_XSTATE gives it, in the standard (not the compacted) format: Intel SDM volume 1,
//! chapter 13. A component whose bit in XSTATE_BV is clear is in its initial state, whatever its bytes hold; writing to it
//! sets the bit. Makes no request.

use std::arch::x86_64::__cpuid_count;
use std::sync::OnceLock;

use super::names::{Bank, RegisterId, X87_CONTROL};

/// State components (SDM volume 1, 13.1).
const X87: usize = 0;
const SSE: usize = 1;
const AVX: usize = 2;
const MASKS: usize = 5;
const ZMM_HIGH: usize = 6;
const HIGH_ZMM: usize = 7;
const PKRU: usize = 9;
const COMPONENTS: usize = 10;

/// The legacy region, which has FXSAVE's layout (SDM volume 1, table 13-1), and the header behind it.
const MXCSR: usize = 24;
const ST: usize = 32;
const XMM: usize = 160;
const LEGACY: usize = 512;
const HEADER: usize = 64;

/// Where the kernel says which components it knows (XCR0), in the part of the legacy region that software may use: "The first
/// 8 bytes of sw_usable_bytes [464..467]" (arch/x86/include/asm/user.h, `struct user_xstateregs`).
const KNOWN_COMPONENTS: usize = 464;

/// The initial values that are not 0 (SDM volume 1, 13.6).
const INITIAL_CONTROL: [u8; 2] = 0x037fu16.to_le_bytes();
const INITIAL_MXCSR: [u8; 4] = 0x1f80u32.to_le_bytes();

/// Where a component lies in the standard format and how long it is; no length if the processor has none.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Component {
    offset: usize,
    length: usize,
}

/// The components of this machine's processor, by CPUID leaf 0xd. The two of the legacy region have fixed places. Another
/// processor puts them elsewhere (AMD's PKRU does not stand where Intel's does), so that no number of a manual is used.
fn components() -> &'static [Component; COMPONENTS] {
    static COMPONENTS_HERE: OnceLock<[Component; COMPONENTS]> = OnceLock::new();
    COMPONENTS_HERE.get_or_init(|| {
        let mut all = [Component::default(); COMPONENTS];
        for (index, component) in all.iter_mut().enumerate().skip(AVX) {
            let leaf = __cpuid_count(0xd, index as u32);
            *component = Component { offset: leaf.ebx as usize, length: leaf.eax as usize };
        }
        all[X87] = Component { offset: 0, length: XMM };
        all[SSE] = Component { offset: XMM, length: 256 };
        all
    })
}

/// The extended registers of a thread.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Extended {
    bytes: Vec<u8>,
    components: [Component; COMPONENTS],
}

/// A part of a register: in which component, where in the area, and which of the register's bytes it is.
#[derive(Clone, Copy, Debug)]
struct Piece {
    component: usize,
    area: usize,
    begin: usize,
    length: usize,
}

impl Extended {
    /// Of an area that the kernel has filled. `None`: it is too short to be one.
    pub fn new(bytes: Vec<u8>) -> Option<Extended> {
        Extended::laid_out(bytes, *components())
    }

    fn laid_out(bytes: Vec<u8>, components: [Component; COMPONENTS]) -> Option<Extended> {
        (bytes.len() >= LEGACY + HEADER).then_some(Extended { bytes, components })
    }

    /// The area, for the kernel to take.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes of a register or lane, the lowest first, in the beginning of 64; `None` if the processor has no such
    /// register or it is none of these.
    pub fn get(&self, register: RegisterId) -> Option<[u8; 64]> {
        let mut value = [0; 64];
        for piece in self.pieces(register)? {
            let to = &mut value[piece.begin..piece.begin + piece.length];
            if self.is_live(piece) {
                to.copy_from_slice(&self.bytes[piece.area..piece.area + piece.length]);
            } else {
                self.initial(piece, to);
            }
        }
        Some(value)
    }

    /// Puts bytes into a register or lane, as many as it has. What was in its initial state is live from now on.
    pub fn put(&mut self, register: RegisterId, value: &[u8]) -> Option<()> {
        let pieces: Vec<Piece> = self.pieces(register)?.collect();
        if value.len() != usize::from(register.size) {
            return None;
        }
        for piece in pieces {
            self.make_live(piece.component);
            let from = &value[piece.begin..piece.begin + piece.length];
            self.bytes[piece.area..piece.area + piece.length].copy_from_slice(from);
        }
        Some(())
    }

    /// The pieces that a register or lane consists of, `begin` counted from the lane's first byte.
    fn pieces(&self, register: RegisterId) -> Option<impl Iterator<Item = Piece> + use<>> {
        let whole = self.whole(register)?;
        if whole.iter().flatten().any(|piece| !self.has(piece.component)) {
            return None;
        }
        let (from, to) = (usize::from(register.offset), usize::from(register.offset + register.size));
        let cut = move |piece: Piece| {
            let begin = piece.begin.max(from);
            let end = (piece.begin + piece.length).min(to);
            (begin < end).then(|| Piece {
                area: piece.area + begin - piece.begin,
                begin: begin - from,
                length: end - begin,
                ..piece
            })
        };
        Some(whole.into_iter().flatten().filter_map(cut))
    }

    /// The pieces of the smallest whole register that a lane lies in.
    fn whole(&self, register: RegisterId) -> Option<[Option<Piece>; 3]> {
        let piece = |component: usize, inside: usize, begin, length| {
            Some(Piece { component, area: self.components[component].offset + inside, begin, length })
        };
        let end = usize::from(register.offset + register.size);
        Some(match register.bank {
            Bank::General(_) | Bank::Flag(_) => return None,
            Bank::Control(index) => {
                let (_, offset, length) = X87_CONTROL[usize::from(index)];
                [piece(X87, offset.into(), 0, length.into()), None, None]
            }
            Bank::St(index) if register.size == 10 => [piece(X87, ST + 16 * usize::from(index), 0, 10), None, None],
            // MMX registers are the x87's by their number and not by their place on the stack (SDM volume 1, 9.2.1).
            Bank::St(index) => [piece(X87, ST + 16 * ((usize::from(index) + 8 - self.top()) % 8), 0, 8), None, None],
            Bank::Mxcsr => [Some(Piece { component: SSE, area: MXCSR, begin: 0, length: 4 }), None, None],
            Bank::Mask(index) => [piece(MASKS, 8 * usize::from(index), 0, 8), None, None],
            Bank::Pkru => [piece(PKRU, 0, 0, 4), None, None],
            Bank::Vector(index @ 0..16) => {
                let index = usize::from(index);
                let high = (end > 16).then(|| piece(AVX, 16 * index, 16, 16)).flatten();
                let highest = (end > 32).then(|| piece(ZMM_HIGH, 32 * index, 32, 32)).flatten();
                [piece(SSE, 16 * index, 0, 16), high, highest]
            }
            Bank::Vector(index) => [piece(HIGH_ZMM, 64 * (usize::from(index) - 16), 0, 64), None, None],
        })
    }

    /// Which of the x87's registers is on top of its stack.
    fn top(&self) -> usize {
        let status = if self.bit(X87) { self.bytes[3] } else { 0 };
        usize::from(status >> 3 & 7)
    }

    /// Whether the processor and the kernel have a component.
    fn has(&self, component: usize) -> bool {
        let known = self.word(KNOWN_COMPONENTS);
        let Component { offset, length } = self.components[component];
        component < AVX || (known >> component & 1 == 1 && length > 0 && offset + length <= self.bytes.len())
    }

    /// Whether a piece holds what its bytes say. MXCSR is there with either of the components that use it (SDM volume 1,
    /// 13.7).
    fn is_live(&self, piece: Piece) -> bool {
        self.bit(piece.component) || (piece.area == MXCSR && self.bit(AVX))
    }

    fn bit(&self, component: usize) -> bool {
        self.word(LEGACY) >> component & 1 == 1
    }

    fn word(&self, at: usize) -> u64 {
        self.bytes[at..at + 8].iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
    }

    fn initial(&self, piece: Piece, to: &mut [u8]) {
        to.fill(0);
        match piece.area {
            0 => to.copy_from_slice(&INITIAL_CONTROL[..piece.length]),
            MXCSR => to.copy_from_slice(&INITIAL_MXCSR[..piece.length]),
            _ => {}
        }
    }

    /// Gives a component in its initial state the bytes of that, and sets its bit.
    fn make_live(&mut self, component: usize) {
        if self.bit(component) {
            return;
        }
        let mxcsr_is_live = self.bit(AVX);
        let Component { offset, length } = self.components[component];
        let mxcsr: [u8; 8] = std::array::from_fn(|index| self.bytes[MXCSR + index]);
        self.bytes[offset..offset + length].fill(0);
        match component {
            X87 => {
                self.bytes[..2].copy_from_slice(&INITIAL_CONTROL);
                // Among the x87's bytes, but no part of it: MXCSR and the mask of its bits.
                self.bytes[MXCSR..MXCSR + 8].copy_from_slice(&mxcsr);
            }
            SSE if !mxcsr_is_live => self.bytes[MXCSR..MXCSR + 4].copy_from_slice(&INITIAL_MXCSR),
            _ => {}
        }
        self.bytes[LEGACY + component / 8] |= 1 << (component % 8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A layout of no real processor: the components one behind the other.
    fn sample() -> Extended {
        let mut components = [Component::default(); COMPONENTS];
        components[X87] = Component { offset: 0, length: XMM };
        components[SSE] = Component { offset: XMM, length: 256 };
        let mut at = LEGACY + HEADER;
        for (component, length) in [(AVX, 256), (MASKS, 64), (ZMM_HIGH, 512), (HIGH_ZMM, 1024)] {
            components[component] = Component { offset: at, length };
            at += length;
        }
        let mut bytes: Vec<u8> = vec![0xee; at];
        bytes[LEGACY..LEGACY + 8].fill(0);
        bytes[KNOWN_COMPONENTS..KNOWN_COMPONENTS + 8].copy_from_slice(&0xe7u64.to_le_bytes());
        Extended::laid_out(bytes, components).expect("long enough")
    }

    fn id(name: &str) -> RegisterId {
        RegisterId::parse(name).expect(name)
    }

    #[test]
    fn what_is_in_its_initial_state_is_zero_whatever_the_bytes_say() {
        let area = sample();
        for name in ["xmm0", "ymm15", "zmm3", "zmm31", "xmm16", "k7", "st0", "mm3", "fstat", "ftag"] {
            assert_eq!(area.get(id(name)), Some([0; 64]), "{name}");
        }
        assert_eq!(area.get(id("fctrl")).map(|value| value[..2].to_vec()), Some(vec![0x7f, 3]));
        assert_eq!(area.get(id("mxcsr")).map(|value| value[..4].to_vec()), Some(vec![0x80, 0x1f, 0, 0]));
        assert_eq!((area.get(id("pkru")), area.get(id("rax"))), (None, None));
    }

    #[test]
    fn what_is_put_comes_back_and_leaves_the_rest() {
        let mut area = sample();
        let value: [u8; 64] = std::array::from_fn(|index| index as u8 + 1);
        for name in ["zmm1", "ymm2", "xmm3", "zmm20", "ymm21", "k5", "st2", "mxcsr", "fop", "zmm1.v8_double[7]"] {
            let size = usize::from(id(name).size);
            area.put(id(name), &value[..size]).expect(name);
            assert_eq!(area.get(id(name)).map(|got| got[..size].to_vec()), Some(value[..size].to_vec()), "{name}");
        }
        // Neighbours and halves that were not written are as they were: zero.
        for name in ["zmm0", "zmm19", "k4", "st1", "st3", "fstat"] {
            assert_eq!(area.get(id(name)), Some([0; 64]), "{name}");
        }
        assert_eq!(area.get(id("zmm2")).map(|got| (got[31], got[32])), Some((32, 0)));
        assert_eq!(area.get(id("zmm3")).map(|got| (got[15], got[16])), Some((16, 0)));
        assert_eq!(area.get(id("zmm1")).map(|got| (got[55], got[56], got[63])), Some((56, 1, 8)));
        assert_eq!(area.get(id("fctrl")).map(|got| got[0]), Some(0x7f));
        assert_eq!(area.bytes()[LEGACY], 0xe7);
        assert_eq!(area.put(id("xmm0"), &[0; 15]), None);
    }

    #[test]
    fn one_lane_makes_only_its_component_live() {
        let mut area = sample();
        area.put(id("zmm4.v64_uint8[33]"), &[7]).expect("a lane");
        assert_eq!(area.bytes()[LEGACY], 1 << ZMM_HIGH);
        assert_eq!(area.get(id("zmm4")).map(|got| (got[32], got[33], got[34])), Some((0, 7, 0)));
        area.put(id("st0"), &[1; 10]).expect("a register");
        // MXCSR lies among the x87's bytes and is still in its initial state.
        assert_eq!(area.get(id("mxcsr")).map(|value| value[..4].to_vec()), Some(vec![0x80, 0x1f, 0, 0]));
    }

    #[test]
    fn mmx_registers_are_not_on_the_stack() {
        let mut area = sample();
        // The top is register 6: ST(0) is R6, so that R7 is ST(1).
        area.put(id("fstat"), &(6u16 << 11).to_le_bytes()).expect("a register");
        area.put(id("st1"), &[9; 10]).expect("a register");
        assert_eq!(area.get(id("mm7")).map(|value| value[0]), Some(9));
    }

    #[test]
    fn a_short_area_is_none() {
        assert!(Extended::new(vec![0; 575]).is_none() && Extended::new(vec![0; 576]).is_some());
        let short = Extended::new(vec![0; 576]).expect("long enough");
        assert_eq!(short.get(id("ymm0")), None);
        assert!(short.get(id("xmm0")).is_some());
    }
}
