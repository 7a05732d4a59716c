import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { compare, mean, median, percentile, summarize } from '../../bench/statistics.js';

describe('median', () => {
  it('is the middle value, or the mean of two, whatever the order', () => {
    assert.equal(median([9, 1, 4]), 4);
    assert.equal(median([10, 2, 4, 1]), 3);
    assert.equal(median([7]), 7);
  });

  it('sorts numbers as numbers, and leaves the caller its order', () => {
    const values = [100, 9, 20];
    assert.equal(median(values), 20);
    assert.deepEqual(values, [100, 9, 20]);
  });

  it('refuses no values', () => assert.throws(() => median([]), RangeError));
});

describe('percentile', () => {
  const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
  it('is the nearest rank', () => {
    assert.equal(percentile(hundred, 50), 50);
    assert.equal(percentile(hundred, 99), 99);
    assert.equal(percentile(hundred, 99.9), 100);
    assert.equal(percentile(hundred, 100), 100);
    assert.equal(percentile([5], 1), 5);
  });

  it('refuses what is no percentage, and no values', () => {
    for (const percent of [0, -1, 101, Number.NaN]) assert.throws(() => percentile(hundred, percent), RangeError);
    assert.throws(() => percentile([], 50), RangeError);
  });
});

describe('mean', () => {
  it('is the sum by the count', () => assert.equal(mean([1, 2, 6]), 3));
  it('refuses no values', () => assert.throws(() => mean([]), RangeError));
});

describe('summarize', () => {
  it('leaves failed rounds out', () => {
    assert.deepEqual(summarize([null, 3, 1]), { median: 2, min: 1, max: 3, count: 2 });
  });
  it('has nothing to say of nothing', () => assert.equal(summarize([null, null]), undefined));
});

describe('compare', () => {
  it('gives the ratio of the medians and those of the rounds', () => {
    const ratio = compare([2, 8, 9], [1, 2, 10]);
    assert.equal(ratio?.ofMedians, 4);
    assert.deepEqual(ratio?.pairwise, { median: 2, min: 0.9, max: 4, count: 3 });
  });

  it('pairs only the rounds that both have', () => {
    assert.deepEqual(compare([2, null, 9], [1, 2, null])?.pairwise, { median: 2, min: 2, max: 2, count: 1 });
    assert.equal(compare([2, null], [null, 2]), undefined);
  });

  it('does not divide by zero', () => {
    assert.equal(compare([1], [0]), undefined);
    assert.equal(compare([1, 1], [0, 0]), undefined);
  });
});
