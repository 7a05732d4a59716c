/**
 * Runs a program of Node.js under a kernel that lacks something: a filter (seccomp(2)) answers the system calls that
 * need it as older kernels do, for every thread that the program starts.
 *
 *   node refusing.js WHAT[,WHAT] PROGRAM [ARGUMENT ...]
 */
import { addressOf, allocate, loadLibrary } from '../../src/linux/ffi.js';
import { check, putPointer } from '../../src/linux/libc.js';

const ENOPROTOOPT = 92;
const EINVAL = 22;
const SOL_UDP = 17;
const UDP_SEGMENT = 103;
const UDP_GRO = 104;
const TUNSETOFFLOAD = 0x400454d0;
const USO_BITS = 0x60;

/** By `process.arch`; asm/unistd.h. */
const CALLS: Readonly<Record<string, Readonly<Record<'writev' | 'setsockopt' | 'ioctl', number>>>> = {
  x64: { writev: 20, setsockopt: 54, ioctl: 16 },
  arm64: { writev: 66, setsockopt: 208, ioctl: 29 },
};

type Test = 'equal' | 'atLeast' | 'anyBit';

interface Refusal {
  readonly call: 'writev' | 'setsockopt' | 'ioctl';
  /** Of the arguments, by their place: all must hold. */
  readonly where: readonly (readonly [argument: number, test: Test, value: number])[];
  readonly errno: number;
}

export type Lack = 'super-packets' | 'gso' | 'gro' | 'tun' | 'uso';

const option = (number: number): Refusal => ({
  call: 'setsockopt',
  where: [
    [1, 'equal', SOL_UDP],
    [2, 'equal', number],
  ],
  errno: ENOPROTOOPT,
});
const offload = (bits: Refusal['where'][number]): Refusal => ({
  call: 'ioctl',
  where: [[1, 'equal', TUNSETOFFLOAD], bits],
  errno: EINVAL,
});

const REFUSALS: Readonly<Record<Lack, Refusal>> = {
  // Only super-packets are written in pieces; 0 to 2 are for the log.
  'super-packets': { call: 'writev', where: [[0, 'atLeast', 3]], errno: EINVAL },
  gso: option(UDP_SEGMENT),
  gro: option(UDP_GRO),
  tun: offload([2, 'atLeast', 1]),
  uso: offload([2, 'anyBit', USO_BITS]),
};

const LOAD_WORD = 0x20;
const JUMP: Readonly<Record<Test, number>> = { equal: 0x15, atLeast: 0x35, anyBit: 0x45 };
const RETURN = 0x06;
const RET_ERRNO = 0x50000;
const RET_ALLOW = 0x7fff0000;
// struct seccomp_data: the call's number, and the arguments.
const NUMBER_AT = 0;
const ARGUMENTS_AT = 16;

type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, k: number];

/** Each test goes to the refusal's end when it fails. */
function instructions({ call, where, errno }: Refusal): Instruction[] {
  const number = CALLS[process.arch]?.[call] ?? -1;
  const tests = [
    [NUMBER_AT, 'equal', number] as const,
    ...where.map(([i, ...test]) => [ARGUMENTS_AT + 8 * i, ...test] as const),
  ];
  const made = tests.flatMap(([at, test, value], i): Instruction[] => [
    [LOAD_WORD, 0, 0, at],
    [JUMP[test], 0, 2 * (tests.length - i) - 1, value],
  ]);
  return [...made, [RETURN, 0, 0, RET_ERRNO | errno]];
}

const PR_SET_SECCOMP = 22;
const PR_SET_NO_NEW_PRIVS = 38;
const SECCOMP_MODE_FILTER = 2;

/** For this thread, and those that it starts. */
function install(refusals: readonly Refusal[]): void {
  const program: Instruction[] = [...refusals.flatMap(instructions), [RETURN, 0, 0, RET_ALLOW]];
  const memory = allocate(program.length * 8);
  const view = new DataView(memory.buffer);
  for (const [i, [code, ifTrue, ifFalse, k]] of program.entries()) {
    view.setUint16(i * 8, code, true);
    view.setUint8(i * 8 + 2, ifTrue);
    view.setUint8(i * 8 + 3, ifFalse);
    view.setUint32(i * 8 + 4, k, true);
  }
  const header = allocate(16);
  header[0] = program.length;
  putPointer(new DataView(header.buffer), 8, addressOf(memory));
  const prctl = loadLibrary(null).func('prctl', 'int', ['int', 'ulong', 'pointer', 'ulong', 'ulong']);
  check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 'PR_SET_NO_NEW_PRIVS');
  check(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, addressOf(header), 0, 0), 'PR_SET_SECCOMP');
}

const [, , lacks = '', program = ''] = process.argv;
install(lacks.split(',').map((lack) => REFUSALS[lack as Lack]));
process.argv.splice(1, 2);
await import(program);
