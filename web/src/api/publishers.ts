// What publishers ask of the control plane: who they are, their channels, and where uploads go.
import { type Caller, type Channel, type Login, parseCaller, parseChannel, parseChannels, parseLogin } from './answers'
import { call } from './client'
import { Problem } from './problem'

/** Fields of a request that show who asks. */
export type Shown = Record<string, string>

/** Whose the credential is; `null` when it is nobody's that counts. */
export async function caller(shown: Shown): Promise<Caller | null> {
  try {
    return parseCaller(await call('GET', '/v1/callers/me', undefined, shown))
  } catch (error) {
    if (error instanceof Problem && error.status === 401) return null
    throw error
  }
}

/** Begins a login. */
export async function login(email: string, password: string): Promise<Login> {
  return parseLogin(await call('POST', '/v1/auth/login', { email, password }))
}

/** Goes on with a login. */
export async function refresh(refresh_token: string): Promise<Login> {
  return parseLogin(await call('POST', '/v1/auth/refresh', { refresh_token }))
}

/** Ends a login. */
export async function logout(refresh_token: string): Promise<void> {
  await call('POST', '/v1/auth/logout', { refresh_token })
}

/** The publisher's own channels. */
export async function channels(shown: Shown): Promise<Channel[]> {
  const found: Channel[] = []
  let next: string | null = null
  do {
    const query: string = next === null ? '' : `&next=${encodeURIComponent(next)}`
    const page = parseChannels(await call('GET', `/v1/channels?limit=100${query}`, undefined, shown))
    found.push(...page.channels)
    next = page.next
  } while (next !== null && found.length < MOST_CHANNELS)
  return found
}

/** Makes a channel. */
export async function makeChannel(shown: Shown, name: string): Promise<Channel> {
  return parseChannel(await call('POST', '/v1/channels', { name }, shown))
}

/**
 * Where uploads over tus go. The control plane redirects there, but a browser leaves out credentials when it is led to
 * another origin, so the address itself is needed; whom ingest does not let ask gets none.
 */
export async function uploads(): Promise<string> {
  try {
    // Nothing is asked of that address but where it is.
    const { url } = await fetch(`${BELOW}/initiate`, { signal: AbortSignal.timeout(PATIENCE_MS) })
    return url.replace(/\/initiate$/, '/tus')
  } catch {
    throw new Problem(0, 'Uploads go to another address, which does not answer, or does not take them from this page.')
  }
}

const BELOW = '/v1/videos/upload'
const MOST_CHANNELS = 1000
const PATIENCE_MS = 15_000
