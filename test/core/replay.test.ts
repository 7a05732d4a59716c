import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ReplayWindow } from '../../src/core/replay.js';
import { seeded } from './values.js';

/** The specification's number: this far behind the greatest, a counter is still accepted. */
const WINDOW = 8128n;

function mark(window: ReplayWindow, counter: bigint): boolean {
  return window.mark(Number(counter & 0xffffffffn), Number(counter >> 32n));
}

function check(window: ReplayWindow, counter: bigint): boolean {
  return window.check(Number(counter & 0xffffffffn), Number(counter >> 32n));
}

/** The rule itself: never twice, never too far behind. */
class Reference {
  readonly #seen = new Set<bigint>();
  #greatest = -1n;

  check(counter: bigint): boolean {
    return !this.#seen.has(counter) && counter + WINDOW >= this.#greatest;
  }

  mark(counter: bigint): boolean {
    if (!this.check(counter)) return false;
    this.#seen.add(counter);
    if (counter > this.#greatest) this.#greatest = counter;
    return true;
  }
}

const TABLES: readonly { name: string; rows: readonly (readonly [counter: bigint, accepted: boolean])[] }[] = [
  {
    name: 'counter 0 is valid, once',
    rows: [
      [0n, true],
      [0n, false],
      [1n, true],
      [0n, false],
      [1n, false],
    ],
  },
  {
    name: 'the first counter may be any, and its word has other bits',
    rows: [
      [77n, true],
      [77n, false],
      [76n, true],
      [78n, true],
      [64n, true],
      [95n, true],
      [96n, true],
      [0n, true],
    ],
  },
  {
    name: 'the far edge: 8,128 behind is accepted, 8,129 behind is not',
    rows: [
      [8128n, true],
      [0n, true],
      [0n, false],
      [8129n, true],
      [0n, false],
      [1n, true],
      [8130n, true],
      [1n, false],
    ],
  },
  {
    name: 'the edge where the greatest is the last of its word',
    rows: [
      [8191n, true],
      [62n, false],
      [63n, true],
      [63n, false],
      [64n, true],
    ],
  },
  {
    name: 'a jump of a whole bitmap forgets all of it',
    rows: [
      [5n, true],
      [5n + 8192n, true],
      [5n, false],
      [69n, true],
      [70n, true],
      [68n, false],
      [8196n, true],
    ],
  },
  {
    name: 'a jump of one less keeps what is still in the window',
    rows: [
      [100n, true],
      [163n, true],
      [100n + 8191n, true],
      [163n, false],
      [164n, true],
      [162n, false],
    ],
  },
  {
    name: 'a jump by a multiple of 2^32 lands on the same bits',
    rows: [
      [9n, true],
      [9n + 2n ** 32n, true],
      [9n, false],
      [8n + 2n ** 32n, true],
      [9n + 2n ** 40n, true],
    ],
  },
];

describe('ReplayWindow', () => {
  for (const { name, rows } of TABLES) {
    it(name, () => {
      const window = new ReplayWindow();
      for (const [number, [counter, accepted]] of rows.entries()) {
        assert.equal(check(window, counter), accepted, `row ${number + 1}: check(${counter})`);
        assert.equal(mark(window, counter), accepted, `row ${number + 1}: mark(${counter})`);
      }
    });
  }

  it('8,129 counters in order, then the same backwards: each once', () => {
    const window = new ReplayWindow();
    for (let i = 0n; i <= WINDOW; i++) assert.ok(mark(window, i));
    for (let i = WINDOW; i >= 0n; i--) assert.ok(!mark(window, i));
  });

  it('8,129 counters backwards: each is accepted once', () => {
    const window = new ReplayWindow();
    for (let i = WINDOW + 1n; i > 0n; i--) assert.ok(mark(window, i), `${i}`);
    assert.ok(!mark(window, 0n));
  });

  it('check changes nothing', () => {
    const window = new ReplayWindow();
    mark(window, 10n);
    assert.ok(check(window, 50_000n));
    assert.ok(check(window, 11n));
    assert.ok(mark(window, 9n));
  });

  it('reset forgets', () => {
    const window = new ReplayWindow();
    mark(window, 2n ** 40n);
    window.reset();
    assert.ok(mark(window, 0n));
    assert.ok(!mark(window, 0n));
  });

  const LIMIT = 2n ** 64n - 2n ** 13n - 1n;
  for (const [name, around] of [
    ['0', 0n],
    ['2^31', 2n ** 31n],
    ['2^32', 2n ** 32n],
    ['2^53', 2n ** 53n],
    ['2^60', 2n ** 60n],
    ['the message limit', LIMIT],
  ] as const) {
    it(`agrees with the rule around ${name}`, () => {
      const random = seeded(Number(around % 1009n) + 1);
      for (let run = 0; run < 8; run++) {
        const window = new ReplayWindow();
        const reference = new Reference();
        // Three on either side of the number itself, then a random walk with jumps.
        const counters = [-3n, 2n, 0n, -1n, 3n, 1n, -2n, 0n].map((delta) => around + delta);
        let at = around;
        for (let i = 0; i < 4000; i++) {
          const span = [3, 70, 9000, 20_000][Math.floor(random() * 4)]!;
          const next = at + BigInt(Math.floor(random() * span) - Math.floor(span * 0.45));
          counters.push(next);
          if (random() < 0.3) at = next;
        }
        for (const counter of counters) {
          if (counter < 0n || counter >= 2n ** 64n) continue;
          assert.equal(check(window, counter), reference.check(counter), `check(${counter})`);
          assert.equal(mark(window, counter), reference.mark(counter), `mark(${counter})`);
        }
      }
    });
  }
});
