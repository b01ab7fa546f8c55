$ErrorActionPreference = 'Stop'
$store = 'Cert:\CurrentUser\My'
$keystore = New-Object System.Security.Cryptography.X509Certificates.X509Certificate2Collection
$keystore.Import($env:RELMAT_SIGN_KEYSTORE, $env:RELMAT_SIGN_PASSWORD, 'EphemeralKeySet')
$signer = $keystore | Where-Object { $_.HasPrivateKey } | Select-Object -First 1
if (-not $signer) { throw 'the keystore holds no certificate with its private key' }
$had = @(Get-ChildItem $store)
if ($had | Where-Object { $_.Thumbprint -eq $signer.Thumbprint -and -not $_.HasPrivateKey }) {
    throw ('the certificate ' + $signer.Thumbprint + ' is in the user''s certificate store without its private key; remove it there (certmgr.msc)')
}
$there = @($had | ForEach-Object { $_.Thumbprint })
$new = @($keystore | Where-Object { $there -notcontains $_.Thumbprint })
foreach ($certificate in $new) { [Console]::Out.WriteLine('new ' + $certificate.Thumbprint) }
if ($new.Count -gt 0) {
    $password = ConvertTo-SecureString $env:RELMAT_SIGN_PASSWORD -AsPlainText -Force
    Import-PfxCertificate -FilePath $env:RELMAT_SIGN_KEYSTORE -CertStoreLocation $store -Password $password | Out-Null
}
[Console]::Out.WriteLine('signer ' + $signer.Thumbprint)
