// Tests of what the browser remembers.
import { expect, test } from 'vitest'
import { Records, type Upload } from './records'

const upload = (n: number, sent = false): Upload => ({
  ...{ url: `http://ingest/${n}`, video: `v${n}`, title: 't', name: 'film.mp4', size: 9, modified_ms: n, print: null, sent },
})

function memory(first: string | null = null) {
  const kept = { text: first }
  return { kept, getItem: () => kept.text, setItem: (_: string, text: string) => void (kept.text = text) }
}

test('an upload is found by its file until it has arrived', () => {
  const records = new Records(memory())
  records.put(upload(1))
  records.put(upload(2))
  const file = { name: 'film.mp4', size: 9, lastModified: 2 }
  expect(records.of(file)?.video).toBe('v2')
  expect(records.of({ ...file, size: 10 })).toBeNull()
  records.put(upload(2, true))
  expect(records.of(file)).toBeNull()
  expect(records.all().map(({ video }) => video)).toEqual(['v2', 'v1'])
  records.forget(upload(1))
  expect(records.all()).toHaveLength(1)
  records.forgetAll()
  expect(records.all()).toEqual([])
})

test('what somebody else wrote there is passed over', () => {
  for (const text of ['', 'x', '7', '{}', '[7, null, {"url": "javascript:1"}]', JSON.stringify([{ ...upload(1), url: 'javascript:alert(1)' }])]) {
    expect(new Records(memory(text)).all()).toEqual([])
  }
  const full = { getItem: () => null, setItem: () => { throw new Error('full') } }
  expect(() => new Records(full).put(upload(1))).not.toThrow()
})

test('those that have not arrived are kept before those that have', () => {
  const records = new Records(memory())
  records.put(upload(0))
  for (let n = 1; n <= 25; n += 1) records.put(upload(n, true))
  expect(records.all()).toHaveLength(20)
  expect(records.all().at(-1)?.video).toBe('v0')
})
