// Tests of the Structured Field reader.
import { expect, test } from 'vitest'
import { parseList } from './structured'

const plain = (field: string) => parseList(field)?.map(({ value, parameters }) => [value, Object.fromEntries(parameters)])

test('tokens, strings, numbers and booleans are read', () => {
  expect(plain('a, "b, \\"c\\"", 7, -1.5, ?0')).toEqual([['a', {}], ['b, "c"', {}], [7, {}], [-1.5, {}], [false, {}]])
})

test('a parameter without a value is true, and a later one wins', () => {
  expect(plain('a;x;y=2;z="q;r";y=tok')).toEqual([['a', { x: true, y: 'tok', z: 'q;r' }]])
})

test('white space is allowed around commas and after semicolons', () => {
  expect(plain('  a;  x \t,\t b  ')).toEqual([['a', { x: true }], ['b', {}]])
})

test('an empty field is an empty list', () => {
  expect([plain(''), plain('  ')]).toEqual([[], []])
})

test('a malformed field is refused in one piece', () => {
  for (const bad of ['a,', ',a', 'a b', 'a;', 'a;=1', 'a;X', 'a;k="', 'a;k=', '"a', '"\\x"', '?2', '1.', '-', 'é', 'a;k=é', '(a b)']) {
    expect(parseList(bad), bad).toBeNull()
  }
  expect(parseList('a'.repeat(9000))).toBeNull()
})
