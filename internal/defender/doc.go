// Package defender reads the alert APIs of Microsoft Defender. A caller names a window
// of update time and receives the raw alerts of that window.
//
// A Reader knows one API of one tenant: how to ask for a window, how its pages are
// linked, and what its refusals mean. It stores nothing, does not look for repeats, and
// does not decide when to call again. Package collect does all that.
//
// # What it promises
//
//   - When Read returns nil, the Sink has received at least once every row that the API
//     listed for the window, up to the window's end or the present, except in windows
//     that the Sink agreed to defer. Sink.Safe is called only for times before which
//     that already holds.
//   - A refused or odd answer is never the end of a list. The end is reached when a
//     request, anchored at or behind the last row, brings nothing new and is answered
//     as documented. Where the end of an instant cannot be found, the reader defers
//     that instant and goes on behind it.
//   - Every Read ends. Whatever a service answers, the number of requests, rows and
//     bytes has a bound.
//   - A bearer token is sent to the configured host only; redirects are never followed.
//     No text that leaves the package has a token, the query of an address, or free
//     text of an answer in it.
//   - No request is sent before the time has passed for which the service asked to
//     wait, nor beyond the call budgets of the Limiter.
//
// # How a window is read
//
//   - pieces.go cuts it into shorter ones if it must. A window that fails twice in a
//     row, while the service answers other requests, is cut into quarters, until a
//     piece can be read, or is a millisecond long (siem: a second) and cannot be read.
//     That is deferred.
//   - walk.go reads a piece of the OData APIs in ascending order of time. Each request
//     is anchored at the last row's time.
//   - ties.go reads an instant with more alerts than a page holds; cursor.go goes from
//     page to page of it by a table of rules.
//   - slices.go reads from a service that does not keep the order asked for.
//   - siem.go reads a piece in one request.
//
// # Caveats
//
//   - It may return rows twice, in any order, and from slightly outside the window: it
//     is not documented which bounds are inclusive, and the services compare times with
//     another precision than they print.
//   - Rows are the bytes that arrived, unchecked. A body that is cut short has brought
//     its whole rows before the error.
//   - A service that lists everything whatever the filter is recognised by the times of
//     its rows, unless these all lie in the window.
//   - A service that refuses $skip, sends no links, and cuts its pages to fewer than
//     ten rows without saying so is believed while there is nothing later than its last
//     instant.
//
// # Traps of the APIs
//
// Comments in this repository cite these by number ("trap 9"). Each entry names the
// trap, what a collector has to do about it, and where it was seen: a page of Microsoft,
// or a public repository of GitHub (owner/name, #issue or pull request). Pages of
// Microsoft are named by their file in MicrosoftDocs/microsoft-365-docs (folder
// microsoft-365/security/defender-endpoint) or microsoftgraph/microsoft-graph-docs.
//
//  1. Alerts of the endpoint API may turn up hours late: a team that asked every ten
//     minutes for the last ten minutes suddenly received only alerts older than six
//     hours. Overlap the windows and remember what was seen.
//     (certtools/intelmq #1910)
//  2. LastProcessedTimeUtc of a SIEM detection trails AlertTime by minutes to hours.
//     Use only LastProcessedTimeUtc as the cursor, and overlap all the same.
//     (pull-alerts-using-rest-api.md)
//  3. A cursor on the creation time never shows updates; one on the update time sends
//     the alert again for every change. Let the operator choose; tell repeats by id and
//     time. (elastic/detection-rules #6360)
//  4. A record id that includes the update time makes a new document of every update;
//     one that leaves it out hides updates. Put both ids into the record.
//     (elastic/integrations #8231, #9050)
//  5. A cursor that is read from the wrong place never moves: one alert was collected
//     287 times in 30 hours. (elastic/integrations #21461)
//  6. The first or last row of a page is not the newest: the order is not documented.
//     Compute the greatest time of the page. (rapid7/insightconnect-plugins
//     microsoft_atp; elastic/integrations m365_defender)
//  7. "gt" loses alerts that have the same time as the last one, "ge" reads that one
//     again. Use "ge" and remember what was seen; equal times are common.
//     (demisto/content #45413; elastic/integrations #20234, #20348)
//  8. Graph ends a walk by $skip early, with status 400 or without a word, and cuts
//     $top down to 1000. Never take a short page for the end of the list.
//     (elastic/integrations #20234, #20348; security-error-codes.md)
//  9. An alert that is updated between two pages leaves its place; every row behind it
//     moves up by one, and one other alert is missed. A closed window does not prevent
//     it. Anchor each request at the last row's time. (certtools/intelmq,
//     elastic/integrations: the practice of both)
//  10. The endpoint API returns no @odata.nextLink with $top; without it the links of
//     /machines lose their $ and lead to the same page for ever. Do not depend on
//     links, and notice one that repeats. (MicrosoftDocs/microsoft-365-docs #8316,
//     #8489, #9713; MicrosoftDocs/windows-itpro-docs #8285)
//  11. Graph refused its own $skiptoken for days. Send the request without it.
//     (microsoftgraph/msgraph-sdk-dotnet #2566)
//  12. Times have 0 to 7 digits of fraction, trailing zeros cut: as text "50Z" sorts
//     behind "50.1Z". Compare times, not text. (pull-alerts-using-rest-api.md;
//     demisto/content #4561)
//  13. Some times have no zone; they are UTC. (pull-alerts-using-rest-api.md;
//     wazuh/wazuh #29854)
//  14. Graph refuses a date in quotes and a date without a zone; the old alerts resource
//     ignored a filter on createdDateTime. Check that rows lie in the window.
//     (OpenAEV-Platform/collectors #564; microsoftgraph/microsoft-graph-docs #6638,
//     #8203; microsoftgraph/security-api-solutions #23)
//  15. An option without its $ is ignored, and the service lists everything.
//     (MicrosoftDocs/azure-docs #11920)
//  16. A missing text is "", null or absent, by API and year.
//     (pull-alerts-using-rest-api.md, alerts.md)
//  17. Pages and answers disagree about names, and about their case: a misspelt
//     IoaDefinitiondId; lastUpdateTime, lastUpdatedTime and lastUpdateDateTime. Find
//     members in any case. (pull-alerts-using-rest-api.md, alerts.md,
//     api-list-incidents.md)
//  18. incidentId is a number in two APIs and a text in Graph, and numbers may exceed
//     what a float64 holds exactly. Never decode them into one. (alerts.md,
//     api-list-incidents.md; microsoftgraph/msgraph-metadata)
//  19. A client secret with any of "+/=%~" fails when it is not escaped, or escaped
//     twice; the secret's id in its place fails with the same code, AADSTS7000215.
//     (MicrosoftDocs/azure-docs #30467, #39037, #48187)
//  20. A token for another audience is refused with 401 or 403, and pages disagree on
//     the right one. Name aud, tid, roles and scp in the log, never the token.
//     (MicrosoftDocs/microsoft-365-docs #5552, #9246, #10554, #13126;
//     AzureAD/microsoft-authentication-library-for-python #570)
//  21. fetch-alerts-mssp.md contradicts itself: a single-tenant application that is used
//     in the customer's tenant (AADSTS700016, 50194, 50020), and a redirect URI that
//     its script spells in another way (50011). Register the application as
//     multi-tenant. (MicrosoftDocs/windows-itpro-docs #4473)
//  22. The SIEM API answers 403 both where the tenant's state forbids it and, it seems,
//     where the MSSP tab lacks the application. Name both remedies.
//     (troubleshoot-siem.md)
//  23. A refresh token that was rotated and not stored works for 90 days and then fails
//     with AADSTS700082. Store the new one before its access token is used.
//     (microsoft/Partner-Center-PowerShell #166; MicrosoftDocs/azure-docs #23702,
//     #52896)
//  24. A refresh token ends after 90 days without use, though pages said "until
//     revoked". Use it at least weekly, even while polling is paused.
//     (MicrosoftDocs/azure-docs #23702)
//  25. A refresh token ends when a policy about MFA or sign-in frequency comes, though
//     nobody changed a password. (lwhitelock/HuduM365Automation #20;
//     MicrosoftDocs/azure-docs #99814)
//  26. AADSTS70000 comes now and then for a good refresh token. Try again before it
//     counts. (BingAds/BingAds-Python-SDK #279)
//  27. 403 "Missing application roles": a delegated permission was granted in place of
//     the application's, or nobody consented. Name the role. (wazuh/wazuh #29854,
//     #31670)
//  28. A user's token shows only the device groups of this user: alerts are missing
//     without an error. (get-alerts.md)
//  29. $expand fails with 500 for good on large tenants. Ask for fewer rows, then
//     without it. (elastic/integrations #18144)
//  30. Without "Prefer: include-unknown-enum-members" Graph names new values
//     "unknownFutureValue". Send it with links, too. (elastic/integrations #12573)
//  31. A first poll that starts at the newest alert loses all older ones.
//     (rapid7/insightconnect-plugins microsoft_atp; elastic/integrations #12912)
//  32. A bound of 1 MiB on an answer loses whole pages. Read answers as a stream.
//     (wazuh/wazuh docs/ref/modules/integrations/microsoft-graph.md)
//  33. A last page with an empty list was emitted as an event. Emit elements only.
//     (elastic/integrations #9983)
//  34. The portal merges detections into alerts, so its count differs from the SIEM
//     API's. (MicrosoftDocs/windows-itpro-docs #2159)
//  35. Clocks differ: a token that is valid here may have expired there. Replace it at a
//     401, use the server's Date, and renew it early. (MicrosoftDocs/azure-docs #16399)
//  36. A link or a redirect may lead to another host. Send the token only to the
//     configured one. (RFC 6750 section 5.3)
//  37. A bookmark that moves although a later page failed loses rows. Move it only for
//     what was delivered. (wazuh/wazuh wm_ms_graph.c moves it on success only)
//  38. Alerts and incidents of one tenant hold the same alerts. Use one API for each
//     tenant. (elastic/detection-rules #6360)
package defender
