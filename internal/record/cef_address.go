package record

import (
	"net/netip"
	"strconv"
	"strings"
)

// chooseAddresses chooses the first address of each family. That of a connection, whose
// port is in the line, comes before all others.
func (c *cefCandidates) chooseAddresses(choice *cefChoice) {
	choice.source(choice.text(groupConnection, readAddress))

	if choice.bySender {
		choice.source(choice.text(groupMail, readAddress))
	}

	for i := range c.list {
		if c.list[i].group == groupAddress {
			choice.source(c.list[i].values[0])
		}
	}

	choice.source(choice.text(groupMail, readAddress))

	if !choice.source4.IsValid() && !choice.source6.IsValid() {
		choice.source(choice.text(groupHost, readAddress))
	}

	choice.destination = address(choice.text(groupConnection, "dst"))
}

// source sets the source address to the one in the text, if there is one and none of its
// family was set before.
func (c *cefChoice) source(text string) {
	addSource(&c.source4, &c.source6, text)
}

// addSource sets v4 or v6 to the address in the text, if that one is not set yet.
func addSource(v4, v6 *netip.Addr, text string) {
	if text == "" {
		return
	}

	switch ip := address(text); {
	case ip.Is4() && !v4.IsValid():
		*v4 = ip
	case ip.Is6() && !v6.IsValid():
		*v6 = ip
	}
}

// address returns the address in a text. If there is none, it is not valid.
func address(s string) netip.Addr {
	ip, err := netip.ParseAddr(strings.TrimSpace(s))
	if err != nil {
		return netip.Addr{}
	}

	return ip.Unmap().WithZone("")
}

// addressIn4 is the source of the first IPv4 address in a field that holds one or several
// addresses. CEF has keys of their own for IPv6.
func addressIn4(key string) source {
	s := first(key)

	return source{
		get: func(a *cefAlert) string {
			v4, _ := addressesIn(s.get(a))
			return addressText(v4)
		},
		what: s.what,
	}
}

// addressIn6 is the source of the first IPv6 address in a field that holds one or several
// addresses.
func addressIn6(key string) source {
	s := first(key)

	return source{
		get: func(a *cefAlert) string {
			_, v6 := addressesIn(s.get(a))
			return addressText(v6)
		},
		what: s.what,
	}
}

// addressesIn returns the first address of each family in a list of addresses. It returns
// none if the list has anything else in it.
func addressesIn(text string) (v4, v6 netip.Addr) {
	for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == ';' || r == ' ' }) {
		if !address(part).IsValid() {
			return netip.Addr{}, netip.Addr{}
		}

		addSource(&v4, &v6, part)
	}

	return v4, v6
}

// addressText returns an address as text, empty if it is not valid.
func addressText(ip netip.Addr) string {
	if !ip.IsValid() {
		return ""
	}

	return ip.String()
}

// source4 is the source of the IPv4 address from which the attack came.
func source4(form cefForm) source {
	return source{
		get:  func(a *cefAlert) string { return addressText(a.source4) },
		what: sourceText(form),
	}
}

// source6 is the source of the IPv6 address from which the attack came.
func source6(form cefForm) source {
	return source{
		get:  func(a *cefAlert) string { return addressText(a.source6) },
		what: sourceText(form),
	}
}

// destination4 is the source of the destination of the connection, if it is IPv4.
func destination4(form cefForm) source {
	return source{
		get: func(a *cefAlert) string {
			if !a.destination.Is4() {
				return ""
			}

			return a.destination.String()
		},
		what: groupText(form, groupConnection, "dst"),
	}
}

// destination6 is the source of the destination of the connection, if it is IPv6.
func destination6(form cefForm) source {
	return source{
		get: func(a *cefAlert) string {
			if !a.destination.Is6() {
				return ""
			}

			return a.destination.String()
		},
		what: groupText(form, groupConnection, "dst"),
	}
}

// port is the source of a port of the connection. The source port is left out if the
// connection has no source address: the line may then have the address of something else.
func port(form cefForm, key string) source {
	s := chosen(form, groupConnection, key)
	from := chosen(form, groupConnection, readAddress)

	return source{
		get: func(a *cefAlert) string {
			text := s.get(a)
			if _, err := strconv.ParseUint(text, 10, 16); err != nil {
				return ""
			}

			if key == "spt" && !address(from.get(a)).IsValid() {
				return ""
			}

			return text
		},
		what: s.what,
	}
}

// sourceText returns, in Markdown, where the source address comes from, the first choice
// first.
func sourceText(form cefForm) string {
	var parts []string

	for _, group := range [...]int{groupConnection, groupAddress, groupMail, groupHost} {
		if text := groupText(form, group, readAddress); text != "" {
			parts = append(parts, text)
		}
	}

	return strings.Join(parts, "; else ")
}
