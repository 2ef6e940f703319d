// Follows a film from its last byte until it is ready, asking ever less often while nothing changes.
import type { Status } from '../api/answers'
import { passes, Problem } from '../api/problem'
import { pause } from './pause'

/** Asks how far a film is until it is ready or has failed, or until it is told to stop. Throws a `Problem` that does not pass. */
export async function follow(ask: () => Promise<Status>, told: (status: Status) => void, signal: AbortSignal): Promise<void> {
  let wait_ms = QUICK_MS
  let before = ''
  while (!signal.aborted) {
    try {
      const status = await ask()
      if (signal.aborted) return
      told(status)
      if (status.failed || status.state === 'ready') return
      const now = JSON.stringify(status)
      wait_ms = now === before ? Math.min(wait_ms * 1.5, SLOW_MS) : QUICK_MS
      before = now
    } catch (error) {
      const problem = error instanceof Problem ? error : new Problem(500)
      if (!passes(problem)) throw problem
      wait_ms = Math.max(Math.min(wait_ms * 2, SLOW_MS), (problem.retry_after_s ?? 0) * 1000)
    }
    await pause(wait_ms, signal)
  }
}

const QUICK_MS = 1000
const SLOW_MS = 10_000
