package ocsf

// noField is the index of no field.
const noField = -1

// deviceArtifact, process, file and so on write an artifact of their kind as an object of
// the schema. Each marks as used what it has written, so that the rest of the artifact is
// put into data. An object whose required attributes are missing is not written: then all
// of it is put into data.
func (e *event) deviceArtifact(f fields) { e.writeDevice(f) }

func (e *event) file(f fields)    { e.writeFile("file", f, atFile) }
func (e *event) user(f fields)    { e.writeUser(f, atUser) }
func (e *event) account(f fields) { e.writeUser(f, atAccount) }
func (e *event) url(f fields)     { e.writeURL(f) }

// has reports whether one of the fields has a text.
func (e *event) has(f fields, list ...int) bool {
	for _, field := range list {
		if len(e.text(f[field])) > 0 {
			return true
		}
	}

	return false
}

// process writes a process. The schema requires its number.
func (e *event) process(f fields) {
	if _, ok := e.integer(f, atPID); !ok {
		return
	}

	w := &e.w
	w.object("process")
	e.putInteger("pid", f, atPID)
	e.put("cmd_line", f, atCommand)
	e.putTime("created_time", f, atStarted)
	e.image(f, e.source.image)
	e.parent(f)

	if e.source.kind == kindByType {
		e.writeUser(f, atUser)
	}

	w.close()
}

// parent writes the process that started a process.
func (e *event) parent(f fields) {
	if _, ok := e.integer(f, atParentPID); !ok {
		return
	}

	w := &e.w
	w.object("parent_process")
	e.putInteger("pid", f, atParentPID)
	e.putTime("created_time", f, atParentStarted)
	e.image(f, atParentFile)
	w.close()
}

// image writes the file of a process.
func (e *event) image(f fields, first int) {
	w := &e.w
	w.text("name", e.text(f[first+fileName]))

	path := e.text(f[first+filePath])
	w.text("path", path)

	if !e.writeFile("file", f, first) && len(path) > 0 {
		f[first+filePath].used = true
	}
}

// writeFile writes the file whose fields begin at first, and reports whether there is
// one. If it has no name, its hash is the name.
func (e *event) writeFile(key string, f fields, first int) bool {
	var name []byte

	for _, field := range [...]int{fileName, fileSHA256, fileSHA1, fileMD5} {
		if name = e.text(f[first+field]); len(name) > 0 {
			break
		}
	}

	if len(name) == 0 {
		return false
	}

	w := &e.w
	w.object(key)
	w.text("name", name)
	e.take(f, first+fileName)
	e.put("path", f, first+filePath)
	e.putInteger("size", f, first+fileSize)
	w.kind("type_id", "type", &regularFile)

	w.array("hashes")

	for i, field := range [...]int{fileMD5, fileSHA1, fileSHA256} {
		if hash := e.take(f, first+field); len(hash) > 0 {
			w.element()
			w.kind("algorithm_id", "algorithm", &algorithms.words[i])
			w.text("value", hash)
			w.close()
		}
	}

	w.close()
	w.close()

	return true
}

// hash writes a file of which only the hash is known.
func (e *event) hash(f fields) {
	value := e.take(f, atHash)
	if len(value) == 0 {
		return
	}

	w := &e.w
	w.object("file")
	w.text("name", value)
	w.kind("type_id", "type", &regularFile)
	w.array("hashes")
	w.element()

	if !e.putWord("algorithm_id", "algorithm", &algorithms, f, atAlgorithm) {
		w.kind("algorithm_id", "algorithm", &unknownAlgorithm)
	}

	w.text("value", value)
	w.close()
	w.close()
	w.close()
}

// writeUser writes the user whose fields begin at first. If it has no name, its address
// is the name.
func (e *event) writeUser(f fields, first int) {
	if !e.has(f, first+userName, first+userSID, first+userEntraID, first+userPrincipal) {
		return
	}

	w := &e.w
	w.object("user")

	mail := e.mail(f, first+userPrincipal)

	if name := e.take(f, first+userName); len(name) > 0 {
		w.text("name", name)
	} else {
		e.put("name", f, first+userPrincipal)
	}

	if mail != nil {
		f[first+userPrincipal].used = true

		w.text("email_addr", mail)
	}

	if sid := e.take(f, first+userSID); len(sid) > 0 {
		w.text("uid", sid)
		e.put("uid_alt", f, first+userEntraID)
	} else {
		e.put("uid", f, first+userEntraID)
	}

	e.put("domain", f, first+userDomain)
	e.put("full_name", f, first+userFullName)
	w.kind("type_id", "type", &unknownUser)
	w.close()
}

// writeURL writes a link.
func (e *event) writeURL(f fields) {
	e.w.object("url")
	e.put("url_string", f, atURL)
	e.w.close()
}

// email writes a message, if it has a sender or a recipient.
func (e *event) email(f fields) {
	w := &e.w
	from, to := noField, noField

	for _, field := range [...]int{atSender, atOtherSender, atReportedSender} {
		if from == noField && e.mail(f, field) != nil {
			from = field
		}
	}

	for _, field := range [...]int{atRecipient, atReportedRecipient} {
		if to == noField && e.mail(f, field) != nil {
			to = field
		}
	}

	if from == noField && to == noField {
		return
	}

	w.object("email")

	if from != noField {
		e.put("from", f, from)
	}

	if to != noField {
		w.array("to")
		e.item(f, to)
		w.close()
	}

	e.put("subject", f, atSubject)
	e.put("message_uid", f, atInternetID)
	e.put("uid", f, atMessageID)

	if e.address(f, atSenderAddress) != nil {
		w.array("x_originating_ip")
		e.item(f, atSenderAddress)
		w.close()
	}

	w.close()
}

// registryPath returns the path of a registry key, with its hive.
func (e *event) registryPath(f fields) []byte {
	key := e.take(f, atRegistryKey)
	if len(key) == 0 {
		return nil
	}

	hive := e.take(f, atHive)
	if len(hive) == 0 {
		return key
	}

	e.joined = append(append(append(e.joined[:0], hive...), '\\'), key...)

	return e.joined
}

// registryKey writes a key of the registry.
func (e *event) registryKey(f fields) {
	w := &e.w
	w.object("reg_key")
	w.text("path", e.registryPath(f))
	w.close()
}

// registryValue writes a value of the registry. If it has no name, only the key is
// written.
func (e *event) registryValue(f fields) {
	if !e.has(f, atRegistryName) || !e.has(f, atRegistryKey) {
		e.registryKey(f)
		return
	}

	w := &e.w
	w.object("reg_value")
	w.text("path", e.registryPath(f))
	e.put("name", f, atRegistryName)
	e.put("data", f, atRegistryValue)
	e.putWord("type_id", "type", &registryTypes, f, atRegistryType)
	w.close()
}

// container writes a container.
func (e *event) container(f fields) {
	w := &e.w
	if !e.has(f, atContainerID, atName) {
		return
	}

	w.object("container")
	e.put("uid", f, atContainerID)
	e.put("name", f, atName)
	w.object("image")
	e.put("uid", f, atImageID)
	w.close()
	w.close()
}

// Which fields may be the name and the id of a resource, the best first.
var (
	resourceNames = []int{
		atDisplayName,
		atName,
		atResourceName,
		atServiceName,
		atFriendlyName,
		atAgentName,
		atDeviceName,
		atSubject,
		atLogin,
		atADDomain,
		atRegistry,
		atMailbox,
		atCluster,
	}
	resourceIDs = []int{
		atResourceID,
		atAmazonID,
		atFullName,
		atServiceID,
		atObjectID,
		atAppID,
		atAgentID,
		atIoTID,
		atOrganizationID,
		atRepoID,
		atGitHubUserID,
		atGroupID,
		atSID,
		atTeamsID,
		atConfigurationID,
		atSessionID,
		atRequestID,
		atURN,
		atMailbox,
		atURL,
		atImageID,
		atPlainImageID,
		atSignature,
		atMAC,
	}
)

// resource writes an artifact for which the schema has no object, with its name and id,
// if it has one of them.
func (e *event) resource(f fields) {
	name, id := e.first(f, resourceNames...), e.first(f, resourceIDs...)
	if len(name) == 0 && len(id) == 0 {
		return
	}

	w := &e.w
	w.array("resources")
	w.element()
	w.text("type", e.kindOf(f))
	w.text("name", name)
	w.text("uid", id)
	e.put("namespace", f, atNamespace)
	w.close()
	w.close()
}
