// Runs the public HTTP-cache suite (npm http-cache-tests) through a cache and prints its score, judged as the suite's
// own tool judges: a test counts only when those that it depends on pass.
//   node e2e/http-cache.mjs http://127.0.0.1:8080 [test-id …]
import fetch from 'node-fetch'
import { getResults, runTests } from 'http-cache-tests/client/runner.mjs'
import { determineTestResult } from 'http-cache-tests/lib/display.mjs'
import suites from 'http-cache-tests/tests/index.mjs'

const [base, ...only] = process.argv.slice(2)
const chosen = suites
  .map((suite) => ({ ...suite, tests: suite.tests.filter((test) => !only.length || only.includes(test.id)) }))
for (const test of only.length ? chosen.flatMap((suite) => suite.tests) : []) test.dump = true
await runTests(chosen, fetch, false, base, 25)

const results = getResults()
const score = { required: { passed: 0, of: 0 }, optimal: { passed: 0, of: 0 }, check: { passed: 0, of: 0 } }
for (const test of chosen.flatMap((suite) => suite.tests)) {
  if (test.browser_only) continue
  const kind = test.kind ?? 'required'
  const verdict = determineTestResult(suites, test.id, results, only.length === 0)[2]
  const passed = verdict === '✅' || verdict === 'Y'
  score[kind].of += 1
  score[kind].passed += passed ? 1 : 0
  if (!passed) console.log(`${verdict} ${kind} ${test.id}: ${results[test.id]?.[1] ?? ''}`)
}
console.log(JSON.stringify(score))
