import { expect, test } from 'vitest';
import { count } from '../../../scripts/test-count.mjs';

const passedFile = { name: 'a.test.ts', status: 'passed', assertionResults: [{ status: 'passed' }] };
const report = (numPassedTests: number, numFailedTests: number, testResults = [passedFile]) => ({
  numPassedTests,
  numFailedTests,
  testResults,
});

test('a run in which all is well has no failures', () => {
  expect(count({ report: report(12, 0), vitestCode: 0, failedChecks: [] })).toMatchObject({
    passed: 12,
    failed: 0,
  });
});

test('a failed test counts once, not again for its file', () => {
  const file = {
    name: 'a.test.ts',
    status: 'failed',
    assertionResults: [{ status: 'failed' }, { status: 'passed' }],
  };
  expect(count({ report: report(1, 1, [file]), vitestCode: 1, failedChecks: [] })).toMatchObject({
    passed: 1,
    failed: 1,
  });
});

test('a file that could not be loaded counts as failed', () => {
  const file = { name: 'b.test.ts', status: 'failed', message: 'no such module', assertionResults: [] };
  const counted = count({ report: report(1, 0, [passedFile, file]), vitestCode: 1, failedChecks: [] });
  expect(counted).toEqual({ passed: 1, failed: 1, reasons: ['b.test.ts: no such module'] });
});

test('failed types and lint count, beside the tests', () => {
  const counted = count({ report: report(3, 0), vitestCode: 0, failedChecks: ['types', 'lint'] });
  expect(counted).toMatchObject({ passed: 3, failed: 2 });
});

test('an error outside of any test counts as failed', () => {
  expect(count({ report: report(3, 0), vitestCode: 1, failedChecks: [] })).toMatchObject({
    passed: 3,
    failed: 1,
  });
});

test('a run without a report, or without a single test, does not pass', () => {
  expect(count({ report: null, vitestCode: 1, failedChecks: [] })).toMatchObject({ passed: 0, failed: 1 });
  expect(count({ report: report(0, 0, []), vitestCode: 0, failedChecks: [] })).toMatchObject({
    passed: 0,
    failed: 1,
  });
  expect(count({ report: null, vitestCode: null, failedChecks: ['set-up'] })).toMatchObject({
    passed: 0,
    failed: 1,
  });
});
