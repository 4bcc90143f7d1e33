package ocsf

import (
	"cmp"
	"hash/maphash"
	"slices"

	"fluent-bit-defender/internal/record/msgpack"
)

// Observables are what analysts search for: names of hosts and users, addresses, hashes,
// links. Receivers index them in one place, whatever kind of evidence they come from.

// An observer says which observable a field of an artifact becomes.
type observer struct {
	field     int
	kind      word
	name      string            // the attribute of the event that has the same value
	check     func([]byte) bool // whether a text is of this kind; nil: every text is
	inProcess string            // the attribute, if the artifact is a process
}

// ofUser and ofFile report whether the field is one of atUser or atFile.
func (o *observer) ofUser() bool { return atUser <= o.field && o.field < atUser+userFields }
func (o *observer) ofFile() bool { return atFile <= o.field && o.field < atFile+fileFields }

// observers are all observers, in the order of their fields.
var observers = makeObservers()

func makeObservers() []observer {
	list := []observer{
		observed(hostObservable, atDNSName, "device.hostname", nil),
		observed(hostObservable, atHostName, "device.name", nil),
		observed(addressObservable, atLastAddress, "device.ip", isAddress),
		observed(addressObservable, atExternalAddress, "data.lastExternalIpAddress", isAddress),
		observed(addressObservable, atInterfaces, "data.ipInterfaces", isAddress),
		observed(addressObservable, atAddress, "src_endpoint.ip", isAddress),
		observed(addressObservable, atSource, "src_endpoint.ip", isAddress),
		observed(addressObservable, atPlainSource, "src_endpoint.ip", isAddress),
		observed(addressObservable, atDestination, "dst_endpoint.ip", isAddress),
		observed(addressObservable, atPlainDestination, "dst_endpoint.ip", isAddress),
		observed(addressObservable, atHostAddress, "src_endpoint.ip", isAddress),
		observed(addressObservable, atAddresses, "dst_endpoint.ip", isAddress),
		observed(addressObservable, atDNSServer, "data.dnsServerIp", isAddress),
		observed(addressObservable, atSenderAddress, "email.x_originating_ip", isAddress),
		observed(urlObservable, atURL, "url.url_string", nil),
		observed(urlObservable, atURLs, "data.urls", nil),
		observed(mailObservable, atSender, "email.from", isMail),
		observed(mailObservable, atOtherSender, "email.from", isMail),
		observed(mailObservable, atReportedSender, "email.from", isMail),
		observed(mailObservable, atRecipient, "email.to", isMail),
		observed(mailObservable, atReportedRecipient, "email.to", isMail),
		observed(mailObservable, atSubmitter, "data.submitter", isMail),
		observed(mailObservable, atMailbox, "data.primaryAddress", isMail),
		observed(mailObservable, atPrincipal, "data.upn", isMail),
		observed(hashObservable, atHash, "file.hashes.value", nil),
		observed(hostObservable, atSessionHost, "data.host.deviceDnsName", nil),
		observed(hostObservable, atSessionHostName, "data.host.hostName", nil),
		observed(addressObservable, atSessionHostAddress, "data.host.lastIpAddress", isAddress),
		observed(addressObservable, atNestedAddress, "data.ipAddress.ipAddress", isAddress),
		observed(addressObservable, atPodAddress, "data.podIp.ipAddress", isAddress),
		observed(addressObservable, atClusterAddress, "data.clusterIP.ipAddress", isAddress),
		observed(mailObservable, atTeamsSender, "data.senderFromAddress", isMail),
		observed(mailObservable, atConfigured, "data.mailboxPrimaryAddress", isMail),
		observed(mailObservable, atMailAddress, "data.email", isMail),
	}

	for first, name := range map[int]string{
		atFile:       "file.hashes.value",
		atImageFile:  "process.file.hashes.value",
		atParentFile: "process.parent_process.file.hashes.value",
	} {
		for _, hash := range [...]int{fileMD5, fileSHA1, fileSHA256} {
			list = append(list, observed(hashObservable, first+hash, name, nil))
		}
	}

	for _, first := range [...]int{atUser, atAccount} {
		list = append(
			list,
			observed(userObservable, first+userName, "user.name", nil),
			observed(mailObservable, first+userPrincipal, "user.email_addr", isMail),
		)
	}

	slices.SortStableFunc(list, func(a, b observer) int { return cmp.Compare(a.field, b.field) })

	return list
}

// observed returns an observer.
func observed(kind word, field int, name string, check func([]byte) bool) observer {
	return observer{
		field:     field,
		kind:      kind,
		name:      name,
		check:     check,
		inProcess: "process." + name,
	}
}

// An observable is one that was found.
type observable struct {
	kind   *word
	prefix string // of the name
	name   string
	value  []byte
}

// observables collects the observables of one event, each value of a kind once.
type observables struct {
	list []observable
	seen map[uint64]struct{}
	seed maphash.Seed
}

// mostKept is for how many observables memory is kept from one event to the next.
const mostKept = 1024

// reset removes the observables, whose values are parts of the row.
func (o *observables) reset() {
	if o.seen == nil || len(o.list) > mostKept {
		*o = observables{seen: map[uint64]struct{}{}, seed: maphash.MakeSeed()}
		return
	}

	clear(o.list)
	clear(o.seen)
	o.list = o.list[:0]
}

// observe collects the observables of an artifact of a source. Their names get the
// prefix.
func (e *event) observe(f fields, s *source, prefix string) {
	_, process := e.integer(f, atPID)

	for i := range observers {
		o := &observers[i]
		if !f[o.field].is() {
			continue
		}

		name := o.name
		if process && (o.ofUser() || s.image == atFile && o.ofFile()) {
			name = o.inProcess
		}

		add := func(text []byte) {
			if o.check == nil || o.check(text) {
				e.observables.add(observable{&o.kind, prefix, name, text})
			}
		}

		switch o.field {
		case atAddresses:
			e.addresses(f[o.field], add)
		case atInterfaces:
			e.texts(f[o.field], func(text []byte) { eachAddress(text, add) })
		default:
			e.texts(f[o.field], add)
		}
	}
}

// add adds an observable, unless the value is there already.
func (o *observables) add(found observable) {
	var h maphash.Hash

	h.SetSeed(o.seed)
	_ = h.WriteByte(byte(found.kind.id))
	_, _ = h.Write(found.value)

	key := h.Sum64()
	if _, known := o.seen[key]; known {
		return
	}

	o.seen[key] = struct{}{}
	o.list = append(o.list, found)
}

// write writes the list of the observables.
func (o *observables) write(w *writer) {
	w.array("observables")

	for i := range o.list {
		found := &o.list[i]

		w.element()
		w.key("name")
		w.b = msgpack.AppendStrHeader(w.b, len(found.prefix)+len(found.name))
		w.b = append(append(w.b, found.prefix...), found.name...)
		w.kind("type_id", "type", found.kind)
		w.text("value", found.value)
		w.close()
	}

	w.close()
}
