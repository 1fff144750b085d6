/**
 * What a run amounts to, from Vitest's JSON report (null: it wrote none) and exit code, and the other checks that
 * failed. A file that could not be loaded, a failed check, and a failure that no test is to blame for count as
 * one failed each, so a run that did not prove everything never ends with `0 failed`.
 */
export function count({ report, vitestCode, failedChecks }) {
  const files = report?.testResults ?? [];
  const broken = files.filter((file) => {
    const tests = file.assertionResults ?? [];
    return file.status === 'failed' && !tests.some((test) => test.status === 'failed');
  });
  const reasons = [
    ...failedChecks,
    ...broken.map((file) => `${file.name}: ${file.message || 'could not be run'}`),
  ];
  const failedTests = report?.numFailedTests ?? 0;
  if (vitestCode !== null && !report) reasons.push('Vitest ended without a report');
  else if (vitestCode && failedTests + broken.length === 0) reasons.push('Vitest failed outside of any test');
  const passed = report?.numPassedTests ?? 0;
  if (vitestCode === 0 && passed === 0) reasons.push('no test was run');
  return { passed, failed: failedTests + reasons.length, reasons };
}
