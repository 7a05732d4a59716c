/**
 * What Node.js does not tell of children, wait(2): that one stopped, and that there are ones which are
 * nobody's any more.
 */
import { addressOf, allocate, loadLibrary, type Native } from './ffi.js';

const waitid: Native = loadLibrary(null).func('waitid', 'int', ['int', 'uint', 'pointer', 'int']);

const P_ALL = 0;
const P_PID = 1;
const WNOHANG = 1;
const WSTOPPED = 2;
const WEXITED = 4;
const WNOWAIT = 0x1000000;
const CLD_EXITED = 1;
const CLD_STOPPED = 5;
// siginfo_t on 64-bit systems.
const SIGINFO_SIZE = 128;
const CODE_AT = 8;
const PID_AT = 16;
const STATUS_AT = 24;

const info: Uint8Array = allocate(SIGINFO_SIZE);
const view: DataView = new DataView(info.buffer);
const infoAddress: number = addressOf(info);

function wait(which: number, pid: number, options: number): boolean {
  info.fill(0);
  return waitid(which, pid, infoAddress, options | WNOHANG) === 0 && view.getInt32(PID_AT, true) !== 0;
}

/** @returns the signal that the child was stopped by since the last call, or undefined */
export function stoppedBy(pid: number): number | undefined {
  const stopped = wait(P_PID, pid, WSTOPPED) && view.getInt32(CODE_AT, true) === CLD_STOPPED;
  return stopped ? view.getInt32(STATUS_AT, true) : undefined;
}

/** How a process ended: one of the two. */
export interface Exit {
  readonly code: number | null;
  /** Its number. */
  readonly signal: number | null;
}

/**
 * Clears away ended processes that Node.js does not wait for (the first of a PID namespace gets all orphans).
 * @param isOwn whether Node.js waits for this process itself
 * @param tell hears of each, when it is gone
 * @returns false when one of Node's own stands before the rest: call again when it has been dealt with
 */
export function reapOthers(isOwn: (pid: number) => boolean, tell: (pid: number, exit: Exit) => void): boolean {
  while (wait(P_ALL, 0, WEXITED | WNOWAIT)) {
    const pid = view.getInt32(PID_AT, true);
    if (isOwn(pid)) return false;
    if (!wait(P_PID, pid, WEXITED)) continue;
    const status = view.getInt32(STATUS_AT, true);
    const exited = view.getInt32(CODE_AT, true) === CLD_EXITED;
    tell(pid, { code: exited ? status : null, signal: exited ? null : status });
  }
  return true;
}
