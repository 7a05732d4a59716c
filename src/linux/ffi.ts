/**
 * The one door to native functions. Every argument and result is a number, so a call costs tens of
 * nanoseconds and allocates nothing; memory is handed over by the address of a typed array whose
 * buffer lives off the JavaScript heap and never moves.
 */
import koffi from 'koffi';

type NativeType = 'void' | 'int' | 'uint' | 'long' | 'ulong' | 'pointer' | 'size' | 'ssize' | 'u32' | 'u64' | 'i64';

const KOFFI_TYPES: Record<NativeType, string> = {
  void: 'void',
  int: 'int',
  uint: 'uint',
  long: 'long',
  ulong: 'ulong',
  pointer: 'uintptr_t',
  size: 'size_t',
  ssize: 'intptr_t',
  u32: 'uint32_t',
  u64: 'uint64_t',
  i64: 'int64_t',
};

export type Native = (...args: number[]) => number;

export interface Library {
  /**
   * Declares a function.
   * @throws when the library does not export it; ask {@link Library.has} first where that is expected
   */
  func(name: string, result: NativeType, args: readonly NativeType[]): Native;
  /** @returns whether the library exports `name` */
  has(name: string): boolean;
}

/**
 * @param path a shared library, or null for the process itself (libc, and OpenSSL in Node's own binary)
 * @throws when it cannot be loaded
 */
export function loadLibrary(path: string | null): Library {
  const library = koffi.load(path);
  return {
    func: (name, result, args) =>
      library.func(
        name,
        KOFFI_TYPES[result],
        args.map((type) => KOFFI_TYPES[type]),
      ) as unknown as Native,
    has: (name) => {
      try {
        library.func(name, 'void', []);
        return true;
      } catch {
        return false;
      }
    },
  };
}

const PROT_READ_WRITE = 3;
const MAP_SHARED = 0x1;
const MAP_PRIVATE = 0x2;
const MAP_FIXED = 0x10;
const MAP_ANONYMOUS = 0x20;
/** The first 2 GiB; exists on x86-64 alone (mmap(2)). */
const MAP_32BIT = 0x40;
const MFD_CLOEXEC = 1;
const PAGE = 4096;
const CAN_MAP_LOW: boolean = process.arch === 'x64';

const libc = koffi.load(null);
const mmap = libc.func('mmap', 'int64_t', ['uintptr_t', 'size_t', 'int', 'int', 'int', 'int64_t']);
const munmap = libc.func('munmap', 'int', ['uintptr_t', 'size_t']);
const ftruncate = libc.func('ftruncate', 'int', ['int', 'int64_t']);
const closeFile = libc.func('close', 'int', ['int']);
const mappings = new FinalizationRegistry<{ at: number; bytes: number }>(({ at, bytes }) => munmap(at, bytes));
/** Where memory is found at a second address: see {@link mirrorLow}. */
const mirrors = new WeakMap<ArrayBufferLike, number>();

/**
 * Fixed memory for native calls: off-heap, zeroed, never moved while it is referenced.
 *
 * From a page upwards it lies in the first 2 GiB where the system can do that: V8 then holds its
 * addresses as small integers, and a native call with a computed address allocates nothing. (An
 * address above that is a number on the heap, made anew for every call.)
 */
export function allocate(bytes: number): Uint8Array {
  return new Uint8Array(bytes >= PAGE && CAN_MAP_LOW ? mapLow(bytes) : new ArrayBuffer(bytes));
}

function mapLow(bytes: number): ArrayBuffer {
  const at: number = mmap(0, bytes, PROT_READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  if (at <= 0) return new ArrayBuffer(bytes);
  const buffer = koffi.view(at, bytes);
  mappings.register(buffer, { at, bytes });
  return buffer;
}

/**
 * Gives memory that lies high (WebAssembly's, which the engine places) a second address in the first
 * 2 GiB, for the reason told at {@link allocate}: the same pages, mapped twice. From then on
 * {@link addressOf} tells the low one. Does nothing where the system cannot do it.
 * @param memory whole pages, all zero: what was in it is lost
 * @returns takes the second address back; to be called before the memory is given up
 */
export function mirrorLow(memory: Uint8Array): () => void {
  const nothing = (): void => {};
  const size = memory.byteLength;
  const high = addressOf(memory);
  if (!CAN_MAP_LOW || high % PAGE !== 0 || size % PAGE !== 0) return nothing;
  const fd: number = memfdCreate();
  if (fd < 0) return nothing;
  const low: number = ftruncate(fd, size) === 0 ? mmap(0, size, PROT_READ_WRITE, MAP_SHARED | MAP_32BIT, fd, 0) : -1;
  // In the place of the old pages; should it fail, these are still there.
  const same = low > 0 && mmap(high, size, PROT_READ_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) === high;
  closeFile(fd);
  if (low > 0 && !same) munmap(low, size);
  if (!same) return nothing;
  mirrors.set(memory.buffer, low - memory.byteOffset);
  return () => {
    mirrors.delete(memory.buffer);
    munmap(low, size);
  };
}

function memfdCreate(): number {
  try {
    const create = libc.func('memfd_create', 'int', ['str', 'uint']) as unknown as (
      name: string,
      flags: number,
    ) => number;
    return create('typetun', MFD_CLOEXEC);
  } catch {
    return -1;
  }
}

/** Where a typed array made by {@link allocate} (or over WebAssembly memory) starts. */
export function addressOf(view: Uint8Array): number {
  const start = mirrors.get(view.buffer) ?? Number(koffi.address(view.buffer as ArrayBuffer));
  return start + view.byteOffset;
}

/** A NUL-terminated copy of `text`. Keep the array as long as its address is in use. */
export function cString(text: string | Uint8Array): Uint8Array {
  const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text;
  const memory = allocate(bytes.length + 1);
  memory.set(bytes);
  return memory;
}

/** `errno` of the last native call on this thread. Read it at once. */
export function errno(): number {
  return koffi.errno();
}
