// Tests of the publishers' sentences.
import { expect, test } from 'vitest'
import { Problem } from '../api/problem'
import { anotherFile, left, refusal, titleOf, waiting } from './uploads'

test('a refusal is told in the words of the server, or by its kind', () => {
  expect(refusal(new Problem(403, 'There would be more films than 3.'))).toBe('There would be more films than 3.')
  const texts = [0, 401, 403, 413, 418, 429, 503].map((status) => refusal(new Problem(status)))
  expect(new Set(texts).size).toBe(texts.length)
})

test('whoever waits is told why, and for how long', () => {
  expect(waiting(new Problem(0), 8000)).toBe('The connection broke off. Trying again in 8 s; what has arrived is kept.')
  expect(waiting(new Problem(507, 'There is no room left.'), 900)).toMatch(/^There is no room left\. Trying again at once/)
})

test('another file is told from the one that is wanted', () => {
  const wanted = { name: 'a.mp4', size: 1_400_000 }
  expect(anotherFile(wanted, { name: 'b.mp4', size: 9 })).toContain('It is “b.mp4” (9 B). Choose “a.mp4” (1.4 MB)')
  expect(anotherFile(wanted, wanted)).toContain('changed since')
})

test('the rest is told in round numbers', () => {
  expect([null, 0, 1e9, 2e6, 1e5, 1e3].map((speed) => left(1e7, speed))).toEqual([
    null, null, 'a few seconds left', 'a few seconds left', 'about 2 min left', 'about 3 h left',
  ])
})

test('a film is called after its file', () => {
  expect(['My_trip  2026.final.mp4', 'film', '.mp4'].map(titleOf)).toEqual(['My trip 2026.final', 'film', ''])
})
