package matrix

// Sign says how the project's own programs and libraries are signed. What the
// tool has no use for cannot stand beside it.
type Sign struct {
	// Tool signs: signtool, osslsigncode or jsign for Windows, command for any
	// tool, or none for programs that are not signed.
	Tool string `yaml:"tool"`
	// Reason says why nothing is signed, with tool: none.
	Reason string `yaml:"reason"`
	// Keystore is where the key is: file:PATH or env:VARIABLE (in base64) of a
	// PKCS #12 file. For jsign's other store types it is what jsign's --keystore
	// is given, such as weu.codesigning.azure.net.
	Keystore string `yaml:"keystore"`
	// StoreType is jsign's --storetype, such as TRUSTEDSIGNING. Default: PKCS12.
	StoreType string `yaml:"store-type"`
	// Alias is the key's name in the keystore; for Azure Trusted Signing
	// ACCOUNT/PROFILE.
	Alias string `yaml:"alias"`
	// Password opens the keystore: env:VARIABLE, file:PATH or fd:NUMBER. For
	// jsign's cloud services it is the access token.
	Password string `yaml:"password"`
	// Chain is a file with certificates that go into the signature besides the
	// signer's.
	Chain string `yaml:"chain"`
	// Thumbprint is the SHA-1 of a certificate in the user's certificate store,
	// for signtool.
	Thumbprint string `yaml:"thumbprint"`
	// Subject is a part of the name of such a certificate's owner.
	Subject string `yaml:"subject"`
	// Dlib is the library of Azure Trusted Signing for signtool.
	Dlib string `yaml:"dlib"`
	// Metadata is the JSON file that names its account and profile.
	Metadata string `yaml:"metadata"`
	// Command is the command line of any other tool by words. It signs the file
	// that {{.File}} names, in place, with a time stamp of the server
	// {{.Timestamp}}.
	Command []string `yaml:"command"`
	// Pass names variables that the tool gets from the host, and that neither a
	// build nor a smoke test gets.
	Pass []string `yaml:"pass"`
	// Timestamp are the addresses of RFC 3161 time stamp servers, tried in this
	// order. An empty list leaves signatures that end with the certificate.
	Timestamp []string `yaml:"timestamp"`
	// Trust is a PEM file with the root certificates that signer and time stamp
	// must come from. Default: no root is asked for.
	Trust string `yaml:"trust"`
	// Prebuilt signs programs of somebody else's build, too. Default: false.
	Prebuilt *bool `yaml:"prebuilt"`
	// Except are patterns of paths in the package that are not signed, such as
	// that of somebody else's library that comes by out-dir without a signature.
	Except []string `yaml:"except"`
}
