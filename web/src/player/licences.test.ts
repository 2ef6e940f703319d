// Tests of the tokens that players show for licences.
import { expect, test } from 'vitest'
import { Licences, type Offer } from './licences'

function offer(number: number): Offer {
  return { system: 'clearkey', url: '/license', token: `t${number}`, renewal: { url: '/next', token: `r${number}` } }
}

/** A session's licences, what was renewed with, and a clock to move. */
function session() {
  const asked: string[] = []
  const clock = { now: 0 }
  let count = 0
  const renew = async (renewal: Offer['renewal'], position_s: number) => {
    asked.push(`${renewal.url} ${renewal.token} ${position_s}`)
    count += 1
    return offer(count)
  }
  return { licences: new Licences(offer(0), renew, () => clock.now), asked, clock }
}

test('the token of the session is shown first, and then each time the next one', async () => {
  const { licences, asked } = session()
  expect(licences.keySystem).toBe('org.w3.clearkey')
  expect(await licences.token(0)).toBe('t0')
  expect(await licences.token(7)).toBe('t1')
  expect(await licences.token(8)).toBe('t2')
  expect(asked).toEqual(['/next r0 7', '/next r1 8'])
})

test('two requests at once show two tokens', async () => {
  const { licences } = session()
  await licences.token(0)
  const two = await Promise.all([licences.token(1), licences.token(1)])
  expect(new Set(two).size).toBe(2)
})

test('a token that lay about is not shown', async () => {
  const { licences, clock } = session()
  clock.now = 3001
  expect(await licences.token(2)).toBe('t1')
})

test('a renewal that is refused is told, and tried again the next time', async () => {
  let times = 0
  const renew = async () => {
    times += 1
    if (times === 1) throw new Error('refused')
    return offer(times)
  }
  const licences = new Licences(offer(0), renew, () => 0)
  await licences.token(0)
  await expect(licences.token(0)).rejects.toThrow('refused')
  expect(await licences.token(0)).toBe('t2')
})
