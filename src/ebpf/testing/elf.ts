/** The smallest object file that a disassembler takes: a header, the code, and a table of section names. */

const MACHINE_BPF = 247;
const NAMES = '\0.text\0.shstrtab\0';

/** `code` as the section .text of a relocatable ELF64 file for BPF. */
export function elfOf(code: Uint8Array): Uint8Array {
  const names = new TextEncoder().encode(NAMES);
  const namesAt = 64 + code.length;
  const sectionsAt = (namesAt + names.length + 7) & ~7;
  const file = new Uint8Array(sectionsAt + 3 * 64);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 1, true);
  view.setUint16(18, MACHINE_BPF, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(40, BigInt(sectionsAt), true);
  view.setUint16(52, 64, true);
  view.setUint16(58, 64, true);
  view.setUint16(60, 3, true);
  view.setUint16(62, 2, true);
  file.set(code, 64);
  file.set(names, namesAt);
  const section = (
    index: number,
    name: string,
    type: number,
    flags: bigint,
    at: number,
    size: number,
  ): void => {
    const base = sectionsAt + index * 64;
    view.setUint32(base, NAMES.indexOf(name), true);
    view.setUint32(base + 4, type, true);
    view.setBigUint64(base + 8, flags, true);
    view.setBigUint64(base + 24, BigInt(at), true);
    view.setBigUint64(base + 32, BigInt(size), true);
    view.setBigUint64(base + 48, 8n, true);
  };
  section(1, '.text', 1, 6n, 64, code.length);
  section(2, '.shstrtab', 3, 0n, namesAt, names.length);
  return file;
}
