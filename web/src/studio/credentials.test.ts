// Tests of who publishes: what is shown, what is kept, and what is forgotten.
import { expect, test } from 'vitest'
import type { Caller, Login } from '../api/answers'
import { Problem } from '../api/problem'
import { type Calls, Credentials, mayPublish } from './credentials'

function stage(more: Partial<Calls> = {}) {
  const kept = new Map<string, string>()
  const tab = {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
    removeItem: (key: string) => void kept.delete(key),
  }
  let turn = 0
  const next = (): Login => ({ access: `a${++turn}`, access_s: 600, refresh: `r${turn}` })
  const publisher: Caller = { kind: 'user', role: 'publisher' }
  const calls: Calls = {
    caller: async (shown) => (shown.authorization ? publisher : null),
    login: async () => next(),
    refresh: async () => next(),
    logout: async () => {},
    ...more,
  }
  return { kept, calls, open: () => new Credentials(tab, calls) }
}

test('a login lasts over a reload, and neither the password nor the access token is kept', async () => {
  const { kept, open } = stage()
  const first = open()
  expect(await first.open()).toBeNull()
  expect(await first.login('a@example.com', 'secret word')).toEqual({ kind: 'user', role: 'publisher' })
  expect(await first.shows()).toEqual({ authorization: 'Bearer a1' })
  expect([...kept.values()]).toEqual(['r1'])
  const second = open()
  expect(await second.open()).toEqual({ kind: 'user', role: 'publisher' })
  expect(await second.shows()).toEqual({ authorization: 'Bearer a2' })
})

test('a key is shown, and kept nowhere', async () => {
  const { kept, open } = stage()
  const credentials = open()
  await credentials.use('mk_x')
  expect(await credentials.shows()).toEqual({ authorization: 'Bearer mk_x' })
  expect(kept.size).toBe(0)
  expect(await credentials.renews()).toBe(false)
  const stern = stage({ caller: async () => null }).open()
  expect(await stern.use('wrong')).toBeNull()
  expect(await stern.shows()).toEqual({})
})

test('those who ask at once share one renewal, since a refresh token counts once', async () => {
  let renewals = 0
  const { open } = stage({ refresh: async () => ({ access: `n${++renewals}`, access_s: 600, refresh: 'r' }) })
  const credentials = open()
  await credentials.login('a', 'b')
  expect(await Promise.all([credentials.renews(), credentials.renews(), credentials.renews()])).toEqual([true, true, true])
  expect(renewals).toBe(1)
})

test('a login that is over is forgotten, and one that could not be renewed is not', async () => {
  for (const [status, left] of [[401, 0], [503, 1], [0, 1]] as const) {
    const { kept, open } = stage({ refresh: async () => Promise.reject(new Problem(status)) })
    const credentials = open()
    await credentials.login('a', 'b')
    expect(await credentials.renews()).toBe(false)
    expect(kept.size, String(status)).toBe(left)
  }
})

test('who leaves is forgotten here and there', async () => {
  const over: string[] = []
  const { kept, open } = stage({ logout: async (token) => void over.push(token) })
  const credentials = open()
  await credentials.login('a', 'b')
  await credentials.leave()
  expect([kept.size, over]).toEqual([0, ['r1']])
  expect(await credentials.shows()).toEqual({})
})

test('publishers need a channel, operators and backends none, and others may not', () => {
  expect(mayPublish({ kind: 'operator' })).toEqual({ channel: false })
  expect(mayPublish({ kind: 'user', role: 'operator' })).toEqual({ channel: false })
  expect(mayPublish({ kind: 'user', role: 'publisher' })).toEqual({ channel: true })
  expect(mayPublish({ kind: 'user', role: 'viewer' })).toBeNull()
  expect(mayPublish({ kind: 'backend', scopes: ['upload'] })).toEqual({ channel: false })
  expect(mayPublish({ kind: 'backend', scopes: ['playback'] })).toBeNull()
})
