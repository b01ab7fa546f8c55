$failed = $false
foreach ($thumbprint in $env:RELMAT_SIGN_THUMBPRINTS.Split(' ')) {
    $path = 'Cert:\CurrentUser\My\' + $thumbprint
    try {
        if (Test-Path $path) { Remove-Item -Path $path -DeleteKey -ErrorAction Stop }
    } catch {
        [Console]::Error.WriteLine($thumbprint + ': ' + $_.Exception.Message)
        $failed = $true
    }
}
if ($failed) { exit 1 }
