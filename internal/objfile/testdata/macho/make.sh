#!/bin/sh
# Makes the files of this directory again, with LLVM 19 and OpenSSL 3 of Debian
# (packages clang-19, lld-19, llvm-19, openssl). The .otool files are what
# llvm-otool says of each: the truth of the tests. The tests need none of these
# tools.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

stub() { # name current compatibility
	cat > "$1.tbd" <<END
--- !tapi-tbd
tbd-version: 4
targets: [ x86_64-macos, arm64-macos, arm64-maccatalyst, x86_64-maccatalyst ]
install-name: '@rpath/$1.dylib'
current-version: $2
compatibility-version: $3
exports:
  - targets: [ x86_64-macos, arm64-macos, arm64-maccatalyst, x86_64-maccatalyst ]
    symbols: [ _$1, dyld_stub_binder ]
...
END
}
stub plain 3.4.5 1.2.3
stub weak 65535.255.255 300
stub again 2 1
stub libSystem 1345 1

cat > lib.c <<'END'
int plain(void), weak(void), again(void);
int zero[100];
const char text[] = "a string";
int lib(void) { return plain() + weak() + zero[1]; }
END
cat > main.c <<'END'
int plain(void);
int main(void) { return plain(); }
END
cat > alone.c <<'END'
static int zero[100];
int alone(int i) { return zero[i]; }
END

cc() { clang-19 -c -Os -fno-stack-protector -fno-unwind-tables -fno-asynchronous-unwind-tables "$@"; }
link() { ld64.lld-19 libSystem.tbd "$@"; }

for arch in x86_64 arm64; do
	cc -target $arch-apple-macos11 lib.c -o lib-$arch.o
	link -dylib -arch $arch -platform_version macos 11.3 14.2.1 -install_name @rpath/libeverything.1.dylib \
		-compatibility_version 1.1 -current_version 1.7.9 -rpath @loader_path/../lib -rpath /opt/here/lib \
		plain.tbd -weak_library weak.tbd -reexport_library again.tbd \
		-o everything-$arch.dylib lib-$arch.o
done
cc -target arm64-apple-macos11 main.c -o main.o
link -arch arm64 -platform_version macos 14.0 0 plain.tbd -o program main.o
cc -target x86_64-apple-macos10.9 alone.c -o alone.o
link -bundle -arch x86_64 -platform_version macos 10.9 10.15 -adhoc_codesign -o bundle.so alone.o
cc -target x86_64-apple-macos10.9 -g alone.c -o debug.o
link -dylib -arch x86_64 -platform_version macos 10.9 10.15 -o debugged.dylib debug.o
dsymutil-19 -o debugged.dSYM debugged.dylib 2> /dev/null
cp debugged.dSYM/Contents/Resources/DWARF/debugged.dylib symbols.dSYM
cc -target armv7-apple-ios7 alone.c -o object-armv7.o
cc -target i386-apple-macos10.6 alone.c -o object-i386.o
cc -target x86_64-apple-ios15-macabi alone.c -o catalyst.o
link -dylib -arch x86_64 -platform_version mac-catalyst 15.0 17.0 -o catalyst.dylib catalyst.o
cc -target x86_64h-apple-macos11 alone.c -o object-x86_64h.o
cc -target arm64e-apple-macos11 alone.c -o object-arm64e.o
cc -target arm64_32-apple-watchos5 alone.c -o object-arm64_32.o

cp everything-x86_64.dylib everything.dylib
llvm-lipo-19 -create object-x86_64h.o object-arm64e.o object-i386.o -output universal.o
llvm-lipo-19 -create -fat64 object-x86_64h.o object-arm64e.o -output universal64.o
llvm-ar-19 rcD one.a object-i386.o
llvm-ar-19 rcD two.a alone.o
llvm-lipo-19 -create one.a two.a -output universal.a

for f in everything.dylib program bundle.so symbols.dSYM catalyst.dylib object-armv7.o object-arm64_32.o; do
	llvm-otool-19 -l $f > $f.otool
	cp $f $f.otool "$here"
done
for f in universal.o universal64.o; do
	for arch in $(llvm-lipo-19 -archs $f); do
		llvm-lipo-19 $f -thin "$arch" -output thin
		llvm-otool-19 -l thin
	done > $f.otool
	cp $f $f.otool "$here"
done
cp universal.a "$here"

# Messages of PKCS #7: with definite and with indefinite lengths, with the key's
# identifier, and without certificates.
export SOURCE_DATE_EPOCH=0
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout other.pem -out ca.pem -days 36500 \
	-subj "/O=Other/CN=Another certificate" 2> /dev/null
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out cert.pem -days 36500 \
	-subj "/C=CH/O=Example/OU=ABCDE12345/CN=Developer ID Application: Exämple (ABCDE12345)" -utf8 2> /dev/null
echo hello > hello
sign() { openssl cms -sign -binary -in hello -signer cert.pem -inkey key.pem -certfile ca.pem -outform DER "$@"; }
sign -out "$here/definite.cms"
sign -indef -stream -nodetach -out "$here/indefinite.cms"
sign -keyid -out "$here/keyid.cms"
sign -nocerts -out "$here/nocerts.cms"
