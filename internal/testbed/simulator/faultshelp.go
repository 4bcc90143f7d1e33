package simulator

import "strings"

// FaultsHelp returns the grammar of faults, explained for the help of a command.
func FaultsHelp() string { return strings.Replace(faultsHelp, "{APIs}", strings.Join(APIs(), ", "), 1) }

const faultsHelp = `Faults are separated by commas:

faults  = fault *( "," fault )
fault   = name [ "=" value ] [ ":" option *( ( ";" | "&" ) option ) ]
option  = key "=" value

as in "429:every=7;wait=5s,cut:p=0.1,503:from=10s;to=40s,aadsts=70000:count=1".
Spaces around the parts do not matter. Names:

400…599    that HTTP status, with the API's error body for 4xx and HTML for 5xx.
           after=seconds|date|none (429: seconds, else none) and wait=5s make the Retry-After
           header.
refuse     the connection is closed before the request is looked at
reset      the connection is reset (RST) at=0.5 of the body
cut        the answer ends at=0.5 of its body: kind=length (shorter than Content-Length), chunked
           (no last chunk), clean (no length was named, so that only the JSON is incomplete)
drip       the body comes rate=1000 bytes a second, in ten pieces a second
stall      nothing more comes from at=0 of the body on, or kind=head not even the head, and the
           connection stays open
latency    the answer comes by=1s later
junk       status 200 with kind=html, json (an object that is no list), list (empty, in the form
           of the other APIs), text or empty
gzip       Content-Encoding: gzip, if the request accepts it
huge       size=20M of white space inside the body, which JSON allows
dup        rows come twice in one answer
shuffle    rows come in any order
redirect   kind=307, 308 or 302 to another host
die        access tokens end by=30s after they were issued, whatever expires_in says
login503   the sign-in service answers 503 with HTML; after and wait as above
aadsts=N   the sign-in service refuses token requests with that code
late       alerts added are listed by=10m after their update (p: for a part of them)
skew       the servers' clock is off by=10m, which may be negative: Date headers, expiries, and
           times stored
link       nextLinks are wrong: kind=repeat (the same again), nodollar (options without $),
           otherhost, skiptoken (refused with 400), none (there is no link)
links      every OData API names a nextLink
skip       kind=refused ($skip is answered with 400) or ignored
clamp      pages have size=100 rows at most, whatever $top says
emptypage  a page without rows, but with a nextLink to them
lastlink   the last page has a nextLink to an empty page
ties       rows of equal time come in another order with each request, so that pages of one list
           overlap and leave out
expand     a request with $expand fails, if the answer has a row: kind=500 or stall (by=1m, then
           500); id=4711 strikes answers with that row only
vanish     with api=discovery: the list is empty
move       before a page after the first is read, an alert of an earlier page is updated, so that
           rows move between pages

Rate: every=N or p=0.1; both missing: each time. Schedule: from=10s, to=40s since the simulator
was made, count=N. The first fault of the list that is due and replaces an answer wins; those that
alter an answer add up.

Scope: tenant=GUID or domain; api=NAME, by default all APIs of alerts. Other names are login,
discovery (the lists of a provider's customers), partner (Partner Center) and all. The APIs of
alerts: {APIs}.`
