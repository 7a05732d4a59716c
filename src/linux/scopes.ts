/** Interfaces of link-local addresses, by name and by number: if_nametoindex(3). */
import { addressOf, allocate, cString, loadLibrary, type Native } from './ffi.js';

const NAME_BYTES = 16;
let functions: { toIndex: Native; toName: Native } | undefined;

/** Declared at the first link-local address: most devices never see one. */
function native(): { toIndex: Native; toName: Native } {
  if (functions === undefined) {
    const libc = loadLibrary(null);
    functions = {
      toIndex: libc.func('if_nametoindex', 'uint', ['pointer']),
      toName: libc.func('if_indextoname', 'pointer', ['uint', 'pointer']),
    };
  }
  return functions;
}

/** @returns the interface's number, or undefined when there is no such interface in this namespace */
export function scopeIndex(name: string): number | undefined {
  return native().toIndex(addressOf(cString(name))) || undefined;
}

export function scopeName(index: number): string | undefined {
  const text = allocate(NAME_BYTES);
  if (native().toName(index, addressOf(text)) === 0) return undefined;
  return new TextDecoder().decode(text.subarray(0, text.indexOf(0)));
}
