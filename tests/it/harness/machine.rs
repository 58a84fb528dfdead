//! Random programs of machine code that end: what `machine.c` runs. The same seed makes the same program.

/// Where `machine.c` puts the code, and its data and stack.
pub const CODE: u64 = 0x1000_0000;
pub const DATA: u64 = 0x1010_0000;
pub const DATA_LENGTH: usize = 0x1_0000;

/// Words of the data: written to let the program run, and by it when it is done.
pub const GO: u64 = 0;
pub const DONE: u64 = 8;

/// The first word of the data that the programs use, and how many there are.
const WORDS: u64 = 0x100;
const WORD_COUNT: u64 = 64;

/// Where the stack begins.
const STACK: u64 = DATA + 0xf000;

const RAX: u8 = 0;
const RCX: u8 = 1;
const RSP: u8 = 4;
const RSI: u8 = 6;
const RDI: u8 = 7;
const R11: u8 = 11;

/// A program: it waits for GO at [`CODE`], and begins at `start`.
pub struct Machine {
    pub code: Vec<u8>,
    /// The first instruction behind the wait.
    pub start: u64,
    /// The instruction behind the last that counts.
    pub end: u64,
}

/// A generator of numbers (xorshift64*), the same for the same seed everywhere.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 16) % bound
    }
}

impl Machine {
    /// Some 50 to 150 instructions in the text, more in steps.
    pub fn random(seed: u64) -> Machine {
        let mut writer = Writer { code: Vec::new(), random: Random::new(seed), word: 0 };
        // wait: cmp qword [GO], 0; je wait; mov qword [GO], 0
        writer.bytes(&[0x48, 0x83, 0x3c, 0x25]).word32(DATA + GO).bytes(&[0x00, 0x74, 0xf5]);
        let start = writer.at();
        writer.bytes(&[0x48, 0xc7, 0x04, 0x25]).word32(DATA + GO).word32(0);
        for register in (0..16).filter(|register| *register != RSP) {
            let value = writer.random.next();
            writer.move_immediate(register, value);
        }
        writer.move_immediate(RSP, STACK);
        for _ in 0..20 + writer.random.below(25) {
            writer.piece(2);
        }
        for register in 0..16 {
            writer.store(register);
        }
        // pushf; pop [word]: the flags as the program sees them.
        writer.bytes(&[0x9c]).pop_to_word();
        let end = writer.at();
        writer.bytes(&[0x48, 0xc7, 0x04, 0x25]).word32(DATA + DONE).word32(1);
        writer.relative(&[0xe9], CODE);
        Machine { code: writer.code, start, end }
    }
}

struct Writer {
    code: Vec<u8>,
    random: Random,
    word: u64,
}

impl Writer {
    fn at(&self) -> u64 {
        CODE + self.code.len() as u64
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.code.extend_from_slice(bytes);
        self
    }

    fn word32(&mut self, value: u64) -> &mut Self {
        self.bytes(&(value as u32).to_le_bytes())
    }

    /// Bytes, and the distance from their end to a target.
    fn relative(&mut self, bytes: &[u8], target: u64) {
        self.bytes(bytes);
        self.word32(target.wrapping_sub(self.at() + 4));
    }

    /// A register that programs may use for anything: not the stack pointer, not the counter.
    fn register(&mut self) -> u8 {
        loop {
            let register = self.random.below(16) as u8;
            if register != RSP && register != RCX {
                return register;
            }
        }
    }

    /// The address of a word, another each time, so that what one stored is not overwritten soon.
    fn next_word(&mut self) -> u64 {
        self.word = (self.word + 1) % WORD_COUNT;
        DATA + WORDS + 8 * self.word
    }

    fn move_immediate(&mut self, register: u8, value: u64) {
        self.bytes(&[0x48 | register >> 3, 0xb8 | register & 7]).bytes(&value.to_le_bytes());
    }

    /// REX.W OPCODE with a register as r/m and another as reg.
    fn two(&mut self, opcode: &[u8], rm: u8, reg: u8) {
        self.bytes(&[0x48 | rm >> 3 | reg >> 3 << 2]).bytes(opcode).bytes(&[0xc0 | (reg & 7) << 3 | rm & 7]);
    }

    /// REX.W OPCODE with a word of the data as r/m.
    fn with_word(&mut self, opcode: &[u8], reg: u8) {
        let word = self.next_word();
        self.bytes(&[0x48 | reg >> 3 << 2]).bytes(opcode).bytes(&[(reg & 7) << 3 | 4, 0x25]).word32(word);
    }

    fn store(&mut self, register: u8) {
        self.with_word(&[0x89], register);
    }

    fn pop_to_word(&mut self) {
        let word = self.next_word();
        self.bytes(&[0x8f, 0x04, 0x25]).word32(word);
    }

    fn push(&mut self, register: u8) {
        self.bytes(&[0x40 | register >> 3, 0x50 | register & 7]);
    }

    fn pop(&mut self, register: u8) {
        self.bytes(&[0x40 | register >> 3, 0x58 | register & 7]);
    }

    /// One to four pieces, and how many bytes they took.
    fn inner(&mut self, depth: u8) -> usize {
        let before = self.code.len();
        for _ in 0..1 + self.random.below(4) {
            self.piece(depth);
        }
        self.code.len() - before
    }

    /// Something that leaves the stack as it was. `depth`: how often there may be more inside.
    fn piece(&mut self, depth: u8) {
        let (a, b) = (self.register(), self.register());
        let kind = self.random.below(if depth == 0 { 20 } else { 25 });
        match kind {
            0 | 1 => {
                let opcodes = [0x01, 0x09, 0x11, 0x19, 0x21, 0x29, 0x31, 0x39, 0x85, 0x87, 0x89];
                let opcode = opcodes[self.random.below(11) as usize];
                self.two(&[opcode], a, b);
            }
            2 => {
                let (operation, value) = (self.random.below(8) as u8, self.random.next());
                self.two(&[0x81], a, operation);
                self.word32(value);
            }
            3 => {
                let operation = [0, 1, 2, 3, 4, 5, 7][self.random.below(7) as usize];
                let count = self.random.below(64) as u8;
                self.two(&[0xc1], a, operation);
                self.bytes(&[count]);
            }
            4 => {
                let (opcode, operation) = [(0xff, 0), (0xff, 1), (0xf7, 2), (0xf7, 3)][self.random.below(4) as usize];
                self.two(&[opcode], a, operation);
            }
            // imul, bsf, bsr, bt, btc
            5 => {
                let opcode = [0xaf, 0xbc, 0xbd, 0xa3, 0xbb][self.random.below(5) as usize];
                self.two(&[0x0f, opcode], a, b);
            }
            6 => {
                let opcode = [0x89, 0x8b, 0x01, 0x2b, 0x87, 0x33][self.random.below(6) as usize];
                self.with_word(&[opcode], a);
            }
            // lea a, [b + b * scale + displacement]
            7 => {
                let (scale, displacement) = (self.random.below(4) as u8, self.random.next());
                self.bytes(&[0x48 | a >> 3 << 2 | b >> 3 << 1 | b >> 3, 0x8d, 0x84 | (a & 7) << 3]);
                self.bytes(&[scale << 6 | (b & 7) << 3 | b & 7]).word32(displacement);
            }
            8 => {
                let condition = self.random.below(16) as u8;
                self.two(&[0x0f, 0x40 | condition], a, b);
            }
            9 => {
                let condition = self.random.below(16) as u8;
                self.bytes(&[0x40 | a >> 3, 0x0f, 0x90 | condition, 0xc0 | a & 7]);
            }
            10 => self.nop(),
            11 => {
                self.push(a);
                self.pop(b);
            }
            // The flags into a register, into memory, and as 16 bits.
            12 => {
                self.bytes(&[0x9c]);
                self.pop(a);
            }
            13 => {
                self.bytes(&[0x66, 0x9c, 0x66]);
                self.bytes(&[0x8f, 0x04, 0x25]);
                let word = self.next_word();
                self.word32(word);
            }
            // Other flags: CF PF AF ZF SF OF.
            14 => {
                let flags = self.random.next() & 0x8d5;
                self.bytes(&[0x68]).word32(flags).bytes(&[0x9d]);
            }
            15 => self.strings(),
            16 | 17 => self.system_call(),
            // cpuid of the leaf that is the same on all processors.
            18 => {
                self.bytes(&[0x31, 0xc0, 0x0f, 0xa2]);
            }
            // mov ss: no trap comes before the end of the next instruction, which may store the flags.
            19 => {
                self.bytes(&[0xb8, 0x2b, 0, 0, 0, 0x8e, 0xd0]);
                match self.random.below(3) {
                    0 => {
                        self.bytes(&[0x9c]);
                        self.pop(a);
                    }
                    1 => self.two(&[0x01], a, b),
                    _ => self.nop(),
                }
            }
            20 => self.branch(depth),
            21 | 22 => self.counted_loop(depth),
            23 => self.routine(depth),
            _ => {
                self.push(a);
                self.inner(depth - 1);
                self.pop(b);
            }
        }
    }

    /// Of one to nine bytes (Intel SDM volume 2, NOP).
    fn nop(&mut self) {
        const NOPS: [&[u8]; 9] = [
            &[0x90],
            &[0x66, 0x90],
            &[0x0f, 0x1f, 0x00],
            &[0x0f, 0x1f, 0x40, 0x00],
            &[0x0f, 0x1f, 0x44, 0x00, 0x00],
            &[0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
            &[0x0f, 0x1f, 0x80, 0, 0, 0, 0],
            &[0x0f, 0x1f, 0x84, 0x00, 0, 0, 0, 0],
            &[0x66, 0x0f, 0x1f, 0x84, 0x00, 0, 0, 0, 0],
        ];
        let nop = NOPS[self.random.below(9) as usize];
        self.bytes(nop);
    }

    /// Instructions that are repeated, upwards or downwards, no time at all as well.
    fn strings(&mut self) {
        let (to, from, count) = (self.next_word(), self.next_word(), self.random.below(7));
        self.move_immediate(RDI, to);
        self.move_immediate(RSI, from);
        self.move_immediate(RCX, count);
        let down = self.random.below(4) == 0;
        if down {
            self.bytes(&[0xfd]);
        }
        // rep stosb, movsb, lodsb; repe cmpsb; repne scasb; movsq once.
        const STRINGS: [&[u8]; 6] =
            [&[0xf3, 0xaa], &[0xf3, 0xa4], &[0xf3, 0xac], &[0xf3, 0xa6], &[0xf2, 0xae], &[0x48, 0xa5]];
        let bytes = STRINGS[self.random.below(6) as usize];
        self.bytes(bytes);
        if down {
            self.bytes(&[0xfc]);
        }
    }

    /// getpid, gettid, or a number that is none; what the flags leave in r11 is kept.
    fn system_call(&mut self) {
        let number = [39, 186, 4000][self.random.below(3) as usize];
        self.bytes(&[0xb8 | RAX]).word32(number).bytes(&[0x0f, 0x05]);
        self.store(R11);
        self.store(RCX);
        self.store(RAX);
    }

    /// A condition or a jump, over something.
    fn branch(&mut self, depth: u8) {
        let hole = self.code.len();
        let jump = match self.random.below(3) {
            0 => vec![0xe9],
            _ => vec![0x0f, 0x80 | self.random.below(16) as u8],
        };
        self.bytes(&jump).word32(0);
        let length = self.inner(depth - 1) as u32;
        let at = hole + jump.len();
        self.code[at..at + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// One to four rounds. What is inside may use rcx: it is kept on the stack meanwhile.
    fn counted_loop(&mut self, depth: u8) {
        let rounds = 1 + self.random.below(4);
        self.move_immediate(RCX, rounds);
        self.push(RCX);
        let top = self.at();
        self.inner(depth - 1);
        self.pop(RCX);
        match self.random.below(2) {
            // lea rcx, [rcx - 1]; push rcx; jrcxz out; jmp top; out: pop rcx
            0 => {
                self.relative(&[0x48, 0x8d, 0x49, 0xff, 0x51, 0xe3, 0x05, 0xe9], top);
                self.pop(RCX);
            }
            // push rcx; loop next; jmp out; next: mov [rsp], rcx; jmp top; out: pop rcx
            _ => {
                self.relative(&[0x51, 0xe2, 0x02, 0xeb, 0x09, 0x48, 0x89, 0x0c, 0x24, 0xe9], top);
                self.pop(RCX);
            }
        }
    }

    /// A routine, and calls of it: direct, and through memory.
    fn routine(&mut self, depth: u8) {
        let hole = self.code.len() + 1;
        self.bytes(&[0xe9]).word32(0);
        let routine = self.at();
        // enter 32, 0 and leave
        let framed = self.random.below(2) == 0;
        if framed {
            self.bytes(&[0xc8, 0x20, 0, 0]);
        }
        self.inner(depth - 1);
        if framed {
            self.bytes(&[0x48, 0x89, 0xe5, 0x48, 0x83, 0xc5, 0x20, 0xc9]);
        }
        self.bytes(&[0xc3]);
        let length = (self.code.len() - hole - 4) as u32;
        self.code[hole..hole + 4].copy_from_slice(&length.to_le_bytes());
        self.relative(&[0xe8], routine);
        let register = self.register();
        self.move_immediate(register, routine);
        // call register
        self.bytes(&[0x40 | register >> 3, 0xff, 0xd0 | register & 7]);
    }
}
