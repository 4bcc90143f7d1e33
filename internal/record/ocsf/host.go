package ocsf

import "bytes"

// writeDevice writes a device, and reports whether there is one.
func (e *event) writeDevice(f fields) bool {
	if !e.has(f, atDNSName, atHostName, atDeviceID) && e.address(f, atLastAddress) == nil {
		return false
	}

	w := &e.w
	w.object("device")
	w.text("hostname", e.first(f, atDNSName, atHostName))
	e.put("name", f, atHostName)
	e.put("uid", f, atDeviceID)
	e.put("uid_alt", f, atOtherDeviceID)
	e.deviceAddress(f)
	w.text("domain", e.first(f, atDNSDomain, atNTDomain))
	e.system(f)
	e.putWord("risk_level_id", "risk_level", &risks, f, atRisk)
	e.putTime("first_seen_time", f, atFirstSeen)
	w.kind("type_id", "type", &unknownDevice)
	w.close()

	return true
}

// deviceAddress writes the last address of a device, or else the first address of its
// interfaces.
func (e *event) deviceAddress(f fields) {
	if ip := e.address(f, atLastAddress); ip != nil {
		f[atLastAddress].used = true

		e.w.text("ip", ip)

		return
	}

	var first []byte

	e.texts(f[atInterfaces], func(text []byte) {
		eachAddress(text, func(ip []byte) {
			if first == nil {
				first = ip
			}
		})
	})

	e.w.text("ip", first)
}

// eachAddress calls do with each address in a list of them, such as "192.0.2.1,
// 192.0.2.2".
func eachAddress(list []byte, do func(ip []byte)) {
	for len(list) > 0 {
		end := bytes.IndexAny(list, ",; ")
		if end < 0 {
			end = len(list)
		}

		if isAddress(list[:end]) {
			do(list[:end])
		}

		list = list[min(end+1, len(list)):]
	}
}

// system writes the operating system of a device.
func (e *event) system(f fields) {
	name := e.take(f, atOS)
	if len(name) == 0 {
		return
	}

	w := &e.w
	w.object("os")
	w.text("name", name)

	w.kindOr("type_id", "type", system(name), name)
	e.put("version", f, atOSVersion)
	e.put("build", f, atOSBuild)
	w.close()
}

// ip writes an address: where something came from or, by its role, where it went.
func (e *event) ip(f fields) {
	key := "src_endpoint"

	e.texts(f[atRoles], func(role []byte) {
		if equalFold(role, "destination") || equalFold(role, "commandAndControl") {
			key = "dst_endpoint"
		}
	})

	e.writeEndpoint(key, f, noField, atAddress)
}

// writeEndpoint writes one end of a connection, with the first field of addresses that
// has one. It reports whether there is one.
func (e *event) writeEndpoint(key string, f fields, port int, addresses ...int) bool {
	const mostPort = 65535

	for _, field := range addresses {
		ip := e.address(f, field)
		if ip == nil {
			continue
		}

		f[field].used = true

		w := &e.w
		w.object(key)
		w.text("ip", ip)

		if port != noField {
			if n, ok := e.integer(f, port); ok && 0 <= n && n <= mostPort {
				e.putInteger("port", f, port)
			}
		}

		w.close()

		return true
	}

	return false
}

// connection writes a network connection.
func (e *event) connection(f fields) {
	from := e.writeEndpoint("src_endpoint", f, atSourcePort, atSource, atPlainSource)
	to := e.writeEndpoint("dst_endpoint", f, atDestinationPort, atDestination, atPlainDestination)

	if !from && !to && !e.has(f, atProtocol) {
		return
	}

	w := &e.w
	w.object("connection_info")
	w.kind("direction_id", "direction", &unknownDirection)
	e.put("protocol_name", f, atProtocol)
	w.close()
}

// dns writes a lookup in the name service: the host that asked, the name, and the first
// address of the answer.
func (e *event) dns(f fields) {
	w := &e.w
	e.writeEndpoint("src_endpoint", f, noField, atHostAddress)

	w.object("dst_endpoint")
	e.put("hostname", f, atDomain)

	var first []byte

	e.addresses(f[atAddresses], func(ip []byte) {
		if first == nil {
			first = ip
		}
	})

	w.text("ip", first)
	w.close()
}

// addressShape has the address of a nested ipEvidence.
var addressShape = newShape([]string{"ipAddress"})

// addresses calls do with the addresses of a list of texts or of ipEvidence.
func (e *event) addresses(v span, do func(ip []byte)) {
	e.each(v, func(i int) int {
		var found [1]span

		end := 0

		if e.scan.src[i] == '{' {
			end = e.scan.object(&addressShape.root, found[:], i)
		} else {
			end = e.scan.value(i)
			found[0] = span{from: uint32(i), to: uint32(end)}
		}

		if text := e.text(found[0]); isAddress(text) {
			do(text)
		}

		return end
	})
}
