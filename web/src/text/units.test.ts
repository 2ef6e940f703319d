// Tests of the number words.
import { expect, test } from 'vitest'
import { clock, protocol, rate, size, span } from './units'

test('sizes change their unit before they would need four digits', () => {
  expect([0, 999, 1000, 48_211, 999_499, 999_500, 1_400_000, 123_400_000].map(size)).toEqual([
    '0 B', '999 B', '1.0 kB', '48 kB', '999 kB', '1.0 MB', '1.4 MB', '123 MB',
  ])
})

test('times change their unit at a second', () => {
  expect([0.4, 38, 999.4, 999.5, 12_340].map(span)).toEqual(['0 ms', '38 ms', '999 ms', '1.0 s', '12.3 s'])
})

test("a film's length is read as a clock", () => {
  expect([-1, 9.96, 30, 725, 3729].map(clock)).toEqual(['0:00', '0:10', '0:30', '12:05', '1:02:09'])
})

test('rates are told in bits', () => {
  expect([250_000, 999_499, 999_500, 2_400_000].map(rate)).toEqual(['250 kb/s', '999 kb/s', '1.0 Mb/s', '2.4 Mb/s'])
})

test('protocols are named in full, unknown ones by their id', () => {
  expect(['h3', 'h2', 'http/1.1', 'hq'].map(protocol)).toEqual(['HTTP/3', 'HTTP/2', 'HTTP/1.1', 'HQ'])
})
