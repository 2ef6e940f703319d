// Tests of the viewer's sentences.
import { expect, test } from 'vitest'
import { passes, Problem, sentence } from './problem'

test('a problem document keeps its status, detail and type', () => {
  const body = { type: 'not_found', title: 'Not Found', detail: 'no video abc', status: 404 }
  expect(Problem.parse(404, body)).toMatchObject({ status: 404, detail: 'no video abc', type: 'not_found' })
  expect(Problem.parse(404, { title: 'Not Found' }).detail).toBe('Not Found')
})

test('a body that is no problem document still tells by its status', () => {
  for (const body of [null, undefined, 'oops', 7, [], { detail: 7, title: '' }]) {
    expect(Problem.parse(503, body)).toMatchObject({ status: 503, detail: null, type: null })
  }
})

test('a very long detail is cut', () => {
  expect(Problem.parse(400, { detail: 'x'.repeat(9999) }).detail).toHaveLength(300)
})

test('every status has a sentence of its own kind', () => {
  const texts = [0, 404, 403, 409, 410, 429, 451, 500, 418].map((status) => sentence(new Problem(status)))
  expect(new Set(texts).size).toBe(texts.length)
})

test('trouble passes, a refusal does not', () => {
  expect([0, 429, 500, 503].every((status) => passes(new Problem(status)))).toBe(true)
  expect([400, 403, 404, 409, 410].some((status) => passes(new Problem(status)))).toBe(false)
})
