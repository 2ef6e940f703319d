// Tests of the Cache-Status reader and of the way it tells.
import { describe, expect, test } from 'vitest'
import { parseCacheStatus } from './cache_status'
import { journey } from './journey'

const way = (field: string) => {
  const members = parseCacheStatus(field)
  const told = members && journey(members)
  return told && [told.edge, ...told.upstream].map(({ node, mark }) => `${node} ${mark}`)
}

describe('Cache-Status', () => {
  test('a hit at the edge names the edge', () => {
    expect(way('edge-1; hit')).toEqual(['edge-1 hit'])
  })

  test('the last member is the edge, and those before it stand behind it', () => {
    expect(way('shield-1; hit, edge-1; fwd=miss; stored')).toEqual(['edge-1 miss', 'shield-1 hit'])
    expect(way('o;fwd=bypass, shield-1;fwd=miss, edge-2;fwd=uri-miss')).toEqual(['edge-2 miss', 'shield-1 miss', 'o pass'])
  })

  test('what stands behind a hit was not asked', () => {
    expect(way('shield-1; fwd=miss, edge-1; hit')).toEqual(['edge-1 hit', 'shield-1 unasked'])
    expect(way('o; fwd=miss, shield-1; hit, edge-1; fwd=miss')).toEqual(['edge-1 miss', 'shield-1 hit', 'o unasked'])
  })

  test('stale and revalidated bytes are told apart from fresh hits', () => {
    expect(way('e; hit; ttl=-3')).toEqual(['e stale'])
    expect(way('e; fwd=stale; fwd-status=304')).toEqual(['e revalidated'])
    expect(way('e; fwd=stale; fwd-status=200')).toEqual(['e miss'])
  })

  test('an unknown reason to go forward is a miss, and no reason at all is unknown', () => {
    expect(way('e; fwd=moon')).toEqual(['e miss'])
    expect(way('e')).toEqual(['e unknown'])
  })

  test('a node says what else it did', () => {
    const [member] = parseCacheStatus('e; fwd=miss; fwd-status=200; stored; collapsed; detail="slow disk"') ?? []
    expect(member).toMatchObject({ cache: 'e', hit: false, fwd: 'miss', fwdStatus: 200, stored: true, collapsed: true })
    expect(journey(member ? [member] : [])?.edge.note).toBe('miss, stored, shared a fill, upstream said 200, slow disk')
  })

  test('a malformed field and an empty one tell nothing', () => {
    expect([parseCacheStatus('edge-1; hit,'), parseCacheStatus('7; hit'), parseCacheStatus('?1')]).toEqual([null, null, null])
    expect(way('')).toBeNull()
  })
})
