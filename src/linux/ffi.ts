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
/** MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT; the last exists on x86-64 alone (mmap(2)). */
const MAP_LOW = 0x62;
const PAGE = 4096;

const libc = koffi.load(null);
const mmap = libc.func('mmap', 'int64_t', ['uintptr_t', 'size_t', 'int', 'int', 'int', 'int64_t']);
const munmap = libc.func('munmap', 'int', ['uintptr_t', 'size_t']);
const mappings = new FinalizationRegistry<{ at: number; bytes: number }>(({ at, bytes }) => munmap(at, bytes));

/**
 * Fixed memory for native calls: off-heap, zeroed, never moved while it is referenced.
 *
 * From a page upwards it lies in the first 2 GiB where the system can do that: V8 then holds its
 * addresses as small integers, and a native call with a computed address allocates nothing. (An
 * address above that is a number on the heap, made anew for every call.)
 */
export function allocate(bytes: number): Uint8Array {
  return new Uint8Array(bytes >= PAGE && process.arch === 'x64' ? mapLow(bytes) : new ArrayBuffer(bytes));
}

function mapLow(bytes: number): ArrayBuffer {
  const at: number = mmap(0, bytes, PROT_READ_WRITE, MAP_LOW, -1, 0);
  if (at <= 0) return new ArrayBuffer(bytes);
  const buffer = koffi.view(at, bytes);
  mappings.register(buffer, { at, bytes });
  return buffer;
}

/** Where a typed array made by {@link allocate} (or over WebAssembly memory) starts. */
export function addressOf(view: Uint8Array): number {
  return Number(koffi.address(view.buffer as ArrayBuffer)) + view.byteOffset;
}

/** `errno` of the last native call on this thread. Read it at once. */
export function errno(): number {
  return koffi.errno();
}
