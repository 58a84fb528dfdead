//! Builds an ELF file of given sections: little-endian, 64 bits, one loaded segment of code. Checks nothing.

/// Where the code is linked to, as `-Wl,-Ttext=0x401000` has it: `scripts/fuzz` links its program so.
pub const TEXT: u64 = 0x40_1000;
/// How much code there is.
const TEXT_SIZE: u64 = 0x4000;
const HEADER: usize = 64;

/// The file.
pub fn build(sections: &[(&str, &[u8])]) -> Vec<u8> {
    let mut names = vec![0u8];
    let mut body = vec![0u8; HEADER + 56];
    let mut headers: Vec<[u64; 10]> = vec![[0; 10]];
    let index = |wanted: &str| sections.iter().position(|(name, _)| *name == wanted).map_or(0, |at| at as u64 + 1);
    for (name, bytes) in sections {
        let name_at = names.len() as u64;
        names.extend(name.bytes().chain([0]));
        body.resize(body.len().next_multiple_of(8), 0);
        let (kind, link, entry) = match *name {
            ".symtab" => (2, index(".strtab"), 24),
            ".dynsym" => (11, index(".dynstr"), 24),
            ".strtab" | ".dynstr" => (3, 0, 0),
            ".rela.plt" => (4, index(".dynsym"), 24),
            ".note.gnu.build-id" => (7, 0, 0),
            _ => (1, 0, 0),
        };
        // What a loader maps has an address; the numbers are those of a small program without PIE.
        let address = if name.starts_with(".debug") || *name == ".symtab" || *name == ".strtab" { 0 } else { 0x50_0000 };
        let address = if address == 0 { 0 } else { address + body.len() as u64 };
        let flags = if address == 0 { 0 } else { 2 };
        headers.push([name_at, kind, flags, address, body.len() as u64, bytes.len() as u64, link, 0, 8, entry]);
        body.extend_from_slice(bytes);
    }
    let text_at = body.len().next_multiple_of(8);
    body.resize(text_at + TEXT_SIZE as usize, 0x90);
    let text_name = names.len() as u64;
    names.extend(b".text\0");
    headers.push([text_name, 1, 6, TEXT, text_at as u64, TEXT_SIZE, 0, 0, 16, 0]);
    let names_name = names.len() as u64;
    names.extend(b".shstrtab\0");
    headers.push([names_name, 3, 0, 0, body.len() as u64, names.len() as u64, 0, 0, 1, 0]);
    body.extend_from_slice(&names);
    body.resize(body.len().next_multiple_of(8), 0);
    let table = body.len() as u64;
    for header in &headers {
        let [name, kind, flags, address, offset, size, link, info, align, entry] = *header;
        body.extend((name as u32).to_le_bytes());
        body.extend((kind as u32).to_le_bytes());
        for word in [flags, address, offset, size] {
            body.extend(word.to_le_bytes());
        }
        body.extend((link as u32).to_le_bytes());
        body.extend((info as u32).to_le_bytes());
        body.extend(align.to_le_bytes());
        body.extend(entry.to_le_bytes());
    }
    let count = headers.len() as u16;
    body[..HEADER].copy_from_slice(&file_header(table, count));
    body[HEADER..HEADER + 56].copy_from_slice(&segment(text_at as u64));
    body
}

/// elf(5), Elf64_Ehdr.
fn file_header(table: u64, count: u16) -> [u8; HEADER] {
    let mut header = Vec::from(*b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    header.extend(2u16.to_le_bytes());
    header.extend(62u16.to_le_bytes());
    header.extend(1u32.to_le_bytes());
    header.extend(TEXT.to_le_bytes());
    header.extend((HEADER as u64).to_le_bytes());
    header.extend(table.to_le_bytes());
    header.extend(0u32.to_le_bytes());
    for half in [HEADER as u16, 56, 1, 64, count, count - 1] {
        header.extend(half.to_le_bytes());
    }
    header.try_into().expect("64 bytes")
}

/// elf(5), Elf64_Phdr: the code, readable and executable.
fn segment(offset: u64) -> [u8; 56] {
    let mut header = Vec::new();
    header.extend(1u32.to_le_bytes());
    header.extend(5u32.to_le_bytes());
    for word in [offset, TEXT, TEXT, TEXT_SIZE, TEXT_SIZE, 0x1000] {
        header.extend(word.to_le_bytes());
    }
    header.try_into().expect("56 bytes")
}
