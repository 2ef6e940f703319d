// Tests of the watch page's keys.
import { expect, test } from 'vitest'
import { action } from './keyboard'

const press = (key: string, focus: 'page' | 'form' | 'video' = 'page', modified = false) => action({ key, focus, modified })

test('the page knows the usual keys', () => {
  expect([press(' '), press('K'), press('m'), press('j'), press('5')]).toEqual([
    { do: 'toggle' },
    { do: 'toggle' },
    { do: 'mute' },
    { do: 'skip', by_s: -10 },
    { do: 'jump', to: 0.5 },
  ])
})

test('keys with a modifier, in a form or unknown are left alone', () => {
  expect([press('f', 'page', true), press('f', 'form'), press('x'), press('Tab')]).toEqual([null, null, null, null])
})

test("the video's own controls keep their keys", () => {
  expect([press(' ', 'video'), press('ArrowLeft', 'video')]).toEqual([null, null])
  expect(press('k', 'video')).toEqual({ do: 'toggle' })
})
